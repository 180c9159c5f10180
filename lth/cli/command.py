"""How every command ends: with exit code 0, or with one paragraph that says what went wrong and another exit code."""
import contextlib
import errno
import functools
import inspect
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ParamSpec

import typer

from lth.cli.console import print_error, print_message, warnings_as_notes
from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError

P = ParamSpec('P')


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which clusters and `timeout` send. It ends a command like Ctrl-C."""


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Return the command with the exit codes of all commands: that of an LthError, 130 for Ctrl-C, 143 for SIGTERM."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _sigterm_as_interrupt(), warnings_as_notes():
                function(*args, **kwargs)
                sys.stdout.flush()
        except LthError as error:
            print_error(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as interrupt:
            print_message('Interrupted. Completed rounds are saved. To resume, run:\n  '
                          + shlex.join(['lth', *sys.argv[1:]]))
            raise typer.Exit(143 if isinstance(interrupt, _Terminated) else 130) from None
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


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise _Terminated
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
