"""What commands about several runs have in common: the argument RUN..., and how they end: notes, then the result."""
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from lth.cli.console import print_json, print_note

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RunNames = Annotated[list[str], typer.Argument(
    metavar='RUN...', show_default=False,
    help='Runs, or seeds of runs (RUN/seed-S). RUN is a name in ./runs, or a path; the folder of a sweep stands '
         'for its runs.')]


def print_result(
        notes: Iterable[str], output: Callable[[], 'DataclassInstance'], print_text: Callable[[], None],
        *, as_json: bool) -> None:
    """Print the notes, and then the result: `output()` as JSON, or as `print_text` prints it."""

    for note in notes:
        print_note(note)
    if as_json:
        print_json(output())
    else:
        print_text()
