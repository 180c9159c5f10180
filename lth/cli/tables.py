"""Tables for people. `--json` prints the rows of the same tables as objects, see `lth.cli.console.print_json`."""
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from lth.cli.console import out

if TYPE_CHECKING:
    from lth.analysis.statistics import Interval

Row = TypeVar('Row')
# The heading of each column, and the function that makes its cell from a row.
Columns = Mapping[str, Callable[[Row], str]]


def print_table(caption: str, columns: Columns[Row], rows: Iterable[Row]) -> None:
    """Print a table with one line per row."""

    out.print(make_table(caption, columns, rows))


def print_list(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in columns, without headings. The first word of a row is never shortened: it is copied."""

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)


def make_table(caption: str, columns: Columns[Row], rows: Iterable[Row]) -> Group:
    """Return a caption and a table for rich. The first column is left-aligned, the others are right-aligned."""

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for position, heading in enumerate(columns):
        table.add_column(heading, justify='right' if position else 'left', overflow='fold')
    for row in rows:
        table.add_row(*(Text(cell(row)) for cell in columns.values()))
    return Group(Text(caption, 'bold'), table)


def as_comments(table: Group) -> str:
    """Return a table as lines of YAML comments."""

    text = io.StringIO()
    Console(width=100, file=text).print(table)
    return ''.join(f'# {line}'.rstrip() + '\n' for line in text.getvalue().splitlines())


def percent(value: 'Interval') -> str:
    """A share in percent, with its margin in percentage points: `97.71 ± 0.12`."""

    return f'{100 * value.mean:.2f}' + ('' if value.margin is None else f' ± {100 * value.margin:.2f}')


def count(value: 'Interval') -> str:
    """A mean number of items, with its margin: `1,580 ± 12`."""

    return f'{value.mean:,.0f}' + ('' if value.margin is None else f' ± {value.margin:,.0f}')


def number(value: 'Interval') -> str:
    """Any other mean, with its margin, to three digits: `12.3 ± 0.45`."""

    return f'{value.mean:.3g}' + ('' if value.margin is None else f' ± {value.margin:.2g}')
