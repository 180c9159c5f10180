"""Standard output and standard error: closed or full, with any encoding.

A result that cannot be written is an error. Progress that cannot be written is lost.
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
    """Standard output or standard error, whatever object that is at the moment. Characters that its encoding lacks are
    replaced.
    """

    def __init__(self, name: str) -> None:
        self._name = name

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
        stream: TextIO | None = getattr(sys, self._name)
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


standard_output = Stream('stdout')
