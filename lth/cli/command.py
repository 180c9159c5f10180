"""How every command ends: with exit code 0, or with one paragraph that says what went wrong and another exit code."""
import contextlib
import errno
import functools
import inspect
import signal
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import ParamSpec

import typer

from lth.cli.console import print_error, print_message, print_raw_error, sentences_once
from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError, describe, shorten_words
from lth.system import signals
from lth.system.launch import launch, refuse_other_variables
from lth.system.streams import STANDARD_OUTPUT, reserved_for_results, standard_output

# As the shell reports SIGPIPE, signal 13.
_CLOSED_PIPE = 141
P = ParamSpec('P')


class Tracebacks:
    """Whether errors of code outside of lth are printed with their tracebacks."""

    shown = False


def command(function: Callable[P, None]) -> Callable[P, None]:
    """The command with the exit codes of all commands: that of an LthError; 128 + its number after a signal.
    A command that another one calls leaves its errors to that one.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if _Running.command:
            function(*args, **kwargs)
            return
        with exit_codes(), _running():
            _refuse_ranks(function)
            try:
                with _EndedBySignals(), reserved_for_results(), sentences_once():
                    function(*args, **kwargs)
                    standard_output.flush()
            except KeyboardInterrupt as interrupt:
                print_message(signals.resume_message())
                raise typer.Exit(128 + getattr(interrupt, 'number', signal.SIGINT)) from None
    run.__doc__ = _one_line_paragraphs(function.__doc__ or '')
    return run


class _Running:
    """Whether this process is running a command."""

    command = False


@contextlib.contextmanager
def _running() -> Iterator[None]:
    _Running.command = True
    try:
        yield
    finally:
        _Running.command = False


def _refuse_ranks(function: Callable[..., None]) -> None:
    """LthError if torchrun has started several processes of a command that works in one."""

    if hasattr(function, 'runs_on_ranks'):
        refuse_other_variables()
    elif launch():
        raise LthError('This command works in one process. Start it without torchrun, which is for commands that train '
                       'a network: find-ticket, find-gem, finetune, transfer and sanity-check.')


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the errors of a block into one paragraph and an exit code. A closed pipe is not an error: all work is done
    before results are printed, except within `more_work`.
    """

    try:
        yield
    except LthError as error:
        _print_traceback(error)
        print_error(str(error))
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        if error.filename == STANDARD_OUTPUT:
            standard_output.discard()
        if error.filename == STANDARD_OUTPUT and isinstance(error, BrokenPipeError):
            raise typer.Exit(0) from None  # nobody reads the output any more, as in `lth list models | head -1`
        text = f'{error.filename}: {error.strerror}' if error.filename else describe(error)
        print_error(f'{shorten_words(text)}.')
        raise typer.Exit(USER_ERROR if error.errno == errno.ENAMETOOLONG else ENVIRONMENT_ERROR) from None
    except EOFError as error:
        raise RuntimeError('a file or a pipe ended early') from error  # typer would take it for Ctrl-D


def _print_traceback(error: LthError) -> None:
    if error.traceback and Tracebacks.shown:
        print_raw_error(error.traceback)


@contextlib.contextmanager
def partly_read_help() -> Iterator[None]:
    """In this block typer may print what nobody reads to the end, for which its exit code is 1. That of help, as in
    `lth --help | head -1`, is 0 instead, and that of an error its own.
    """

    try:
        yield
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        standard_output.discard()
        raise typer.Exit(getattr(end.__context__.__context__, 'exit_code', 0)) from None


@contextlib.contextmanager
def more_work() -> Iterator[None]:
    """In this block results are printed before the command has done all its work: a closed pipe ends it with 141."""

    try:
        yield
        standard_output.flush()
    except BrokenPipeError:
        standard_output.discard()
        raise typer.Exit(_CLOSED_PIPE) from None


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
