"""Printing: results go to standard output, notes and progress to standard error. Names in [brackets] are not markup."""
import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from lth.analysis import json_output
from lth.errors import LthWarning, printable
from lth.system.streams import ProgressStream, standard_output

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class _Console(Console):
    """rich's console, but a closed pipe is an exception, which `lth.cli.command` handles."""

    def on_broken_pipe(self) -> None:
        """Pass on that nobody reads the output any more."""

        raise  # pylint: disable=misplaced-bare-raise # rich calls this while it handles the exception

    def render(self, *args: Any, **kwargs: Any) -> Iterator[Segment]:
        """Write control characters in names and messages so that the terminal does not interpret them."""

        for segment in super().render(*args, **kwargs):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


# Names contain colons (cuda:1), which are not emoji. Files and pipes have no width: 160 columns, so that tables are
# not folded at 80.
out = _Console(emoji=False, file=cast(TextIO, standard_output),
               width=None if standard_output.isatty() or 'COLUMNS' in os.environ else 160)
err = _Console(emoji=False, file=cast(TextIO, ProgressStream('stderr')))


def print_raw(text: str) -> None:
    """Print text of the result: without wrapping, and without markup."""

    standard_output.write(f'{printable(text)}\n')


def print_line(text: str) -> None:
    """Print a line of the result. It is not wrapped, so that paths can be copied."""

    out.print(text, highlight=False, markup=False, soft_wrap=True)


def print_text(text: str) -> None:
    """Print a paragraph of the result, wrapped at the width of the terminal."""

    out.print(text, highlight=False, markup=False)


def print_json(output: 'DataclassInstance') -> None:
    """Print the result for programs: a data class of lth.analysis.json_output or lth.benchmark.json_output."""

    standard_output.write(f'{json_output.values.encode(output)}\n')


def print_message(text: str) -> None:
    """Print a line about the work in progress."""

    err.print(text, highlight=False, markup=False, soft_wrap=True)


def print_note(text: str) -> None:
    """Print a remark that the user should know, without changing the exit code."""

    print_message(_note(text))


def _note(text: str) -> str:
    return f'Note: {text.rstrip(".")}.'


class _Printed:
    """The sentences that a command has printed while it worked; None outside of a command."""

    sentences: set[str] | None = None


def print_once(text: str, console: Console = err) -> None:
    """Print a line about the work in progress, unless this command has: its controls share what a run has to say."""

    if _Printed.sentences is not None:
        if text in _Printed.sentences:
            return
        _Printed.sentences.add(text)
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def sentences_once() -> Iterator[None]:
    """Print what `print_once` is given in the block, and the warnings of lth as notes, each once."""

    show = warnings.showwarning

    def print_warning(message: Warning | str, category: type[Warning], *details: Any, **more: Any) -> None:
        if issubclass(category, LthWarning):
            print_once(_note(str(message)))
        else:
            show(message, category, *details, **more)
    _Printed.sentences = set()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('always', LthWarning)
            setattr(warnings, 'showwarning', print_warning)
            yield
    finally:
        _Printed.sentences = None


def print_raw_error(text: str) -> None:
    """Print text of the user's code as it is, on standard error."""

    err.print(Text(text), highlight=False, soft_wrap=True)


def print_error(text: str) -> None:
    """Print why the command failed."""

    err.print(Text.assemble(('Error:', 'bold red'), f' {text}'), highlight=False, soft_wrap=True)
