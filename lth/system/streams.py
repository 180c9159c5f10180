"""Standard output and standard error: closed or full, with any encoding.

A result that cannot be written is an error. Progress that cannot be written is lost. While a command runs, only results
reach standard output: what other code prints, also in C and in other processes, goes to standard error.
"""
import contextlib
import errno
import functools
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

STANDARD_OUTPUT = 'standard output'


class Stream:
    """Standard output or standard error, whatever object that is at the moment unless a `stream` is given. Characters
    that its encoding lacks are replaced.
    """

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self.stream = stream

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._target(), attribute)

    def write(self, text: str) -> None:
        """Write to the stream; OSError whose file name is that of the stream."""

        target = self._target()
        encoding = getattr(target, 'encoding', None) or 'utf-8'
        with self._explain_errors():
            target.write(text.encode(encoding, 'replace').decode(encoding))

    def flush(self) -> None:
        """Flush the stream; OSError whose file name is that of the stream."""

        with self._explain_errors():
            self._target().flush()

    def discard(self) -> None:
        """Write nothing to the stream from now on, also not what it still buffers."""

        with contextlib.suppress(OSError, ValueError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, self._target().fileno())
            os.close(descriptor)

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise
        except ValueError as error:  # the stream is closed
            raise OSError(errno.EBADF, str(error), STANDARD_OUTPUT) from None

    def _target(self) -> TextIO:
        stream: TextIO | None = self.stream or getattr(sys, self._name)
        # While bars are shown, rich replaces the streams of sys by one that writes to the console.
        return cast(TextIO, getattr(stream, 'rich_proxied_file', stream)) or _nowhere()


class ProgressStream(Stream):
    """Standard error. What cannot be written is lost: it must never end a search."""

    def write(self, text: str) -> None:
        with self._ignore_errors():
            super().write(text)

    def flush(self) -> None:
        with self._ignore_errors():
            super().flush()

    @contextlib.contextmanager
    def _ignore_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.discard()


@functools.cache
def _nowhere() -> TextIO:
    """For a process that was started without standard streams, as by `>&-`. Open until the process ends."""

    return open(os.devnull, 'w', encoding='utf-8')  # pylint: disable=consider-using-with


def open_closed_streams() -> None:
    """Let a standard stream that the process was started without, as by `>&-`, be /dev/null: the next file that is
    opened would take its number. Characters that the encoding of a stream lacks are replaced.
    """

    for number, (name, mode) in enumerate((('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w'))):
        stream = getattr(sys, name)
        if stream is None:
            with contextlib.suppress(OSError):
                descriptor = os.open(os.devnull, os.O_RDWR)
                if descriptor != number:
                    os.dup2(descriptor, number)
                    os.close(descriptor)
                stream = open(number, mode, encoding='utf-8')  # pylint: disable=consider-using-with # stays open
                setattr(sys, name, stream)
        elif mode == 'w' and hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')


def lose_what_cannot_be_written() -> None:
    """Let no print of this process, a worker, fail: neither for a closed pipe nor for a character."""

    sys.stdout, sys.stderr = (cast(TextIO, ProgressStream(name, getattr(sys, name))) for name in ('stdout', 'stderr'))


@contextlib.contextmanager
def reserved_for_results() -> Iterator[None]:
    """Let only `standard_output` write to standard output in this block. What anything else prints there, also C code
    and child processes, goes to standard error, and is lost if that cannot be written. A process keeps this until it
    ends: functions that run at its exit, and buffers of C, may print then.
    """

    before = standard_output.stream, sys.stdout, sys.stderr
    if _is_descriptor_1(sys.stdout):
        standard_output.stream = _take_descriptor_1(sys.stdout)
        sys.stdout = sys.stderr = cast(TextIO, ProgressStream('stderr', sys.stderr))
        yield
        return
    standard_output.stream = standard_output.stream or sys.stdout
    sys.stdout = sys.stderr = cast(TextIO, ProgressStream('stderr', sys.stderr))
    try:
        yield
    finally:
        standard_output.stream, sys.stdout, sys.stderr = before


def _is_descriptor_1(stream: TextIO) -> bool:
    """Whether this is the process's standard output, unlike in tests and notebooks."""

    try:
        return stream.fileno() == 1
    except (OSError, ValueError, AttributeError):
        return False


def _take_descriptor_1(stdout: TextIO) -> TextIO:
    """A stream that writes where the process's standard output leads; descriptor 1 leads to standard error now."""

    with contextlib.suppress(OSError, ValueError):
        stdout.flush()
    results = open(os.dup(1), 'w', encoding=stdout.encoding, errors='replace')  # pylint: disable=consider-using-with
    os.dup2(2, 1)
    return results


standard_output = Stream('stdout')
