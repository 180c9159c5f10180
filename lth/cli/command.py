"""How every command ends: with exit code 0, or with one paragraph that says what went wrong and another exit code."""
import errno
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec

import typer

from lth.cli.console import print_error, print_message, warnings_as_notes
from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError
from lth.system import signals

P = ParamSpec('P')


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Return the command with the exit codes of all commands: that of an LthError; 128 + its number after a signal."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _EndedBySignals(), warnings_as_notes():
                function(*args, **kwargs)
                sys.stdout.flush()
        except LthError as error:
            print_error(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as interrupt:
            print_message(signals.resume_message())
            raise typer.Exit(128 + getattr(interrupt, 'number', signal.SIGINT)) from None
        except BrokenPipeError:
            # Nobody reads the output any more, as in `lth list models | head -1`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            print_error(f'{error.filename or "standard output"}: {error.strerror}.')
            raise typer.Exit(USER_ERROR if error.errno == errno.ENAMETOOLONG else ENVIRONMENT_ERROR) from None
    run.__doc__ = _one_line_paragraphs(function.__doc__ or '')
    return run


def _one_line_paragraphs(text: str) -> str:
    """Join the lines of each paragraph, so that help is wrapped only at the width of the terminal. Indented
    examples stay as they are.
    """

    paragraphs = inspect.cleandoc(text).split('\n\n')
    return '\n\n'.join(part if part.startswith(' ') else ' '.join(part.split()) for part in paragraphs)


class _EndedBySignals:
    """A block that ends the process of the command line if it fails after a signal, for whatever reason."""

    def __enter__(self) -> None:
        pass

    def __exit__(
            self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if kind:
            signals.end()
