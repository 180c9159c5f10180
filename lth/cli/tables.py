"""Tables for people. `--json` prints the rows of the same tables as objects, see `lth.cli.console.print_json`."""
import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from lth.analysis.number_text import with_margin
from lth.cli.console import out
from lth.errors import printable

if TYPE_CHECKING:
    from lth.analysis.statistics import Interval

Row = TypeVar('Row')
# The heading of each column, and the function that makes its cell from a row.
Columns = Mapping[str, Callable[[Row], str]]
# Characters between two columns; as many are at the ends of a line.
_SEPARATION = 2
# A mean with its margin, or a part of a total, is never broken.
_WORD_BETWEEN_NUMBERS = re.compile(r'(?<=\d) (±|of) (?=\d)')
_NO_BREAK_SPACE = '\xa0'


def print_table(caption: str, columns: Columns[Row], rows: Iterable[Row]) -> None:
    """Print a table with one line per row."""

    out.print(make_table(caption, columns, rows, out.width))


def print_list(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in columns, without headings. The first word of a row is never shortened: it is copied."""

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    out.print(table)


def make_table(caption: str, columns: Columns[Row], rows: Iterable[Row], width: int = 100) -> Group:
    """A caption and a table for rich. The first column is left-aligned, the others are right-aligned. Lines are
    broken only between words. If that does not fit into the width, each row is a paragraph with the headings.
    """

    cells = [[printable(cell(row)) for cell in columns.values()] for row in rows]
    widths = _column_widths([list(columns), *cells], width - _SEPARATION * len(columns))
    if widths is None:
        return Group(Text(caption, 'bold'), *[_paragraph(list(columns), row, width) for row in cells])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for position, (heading, column_width) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(Text(heading), justify='right' if position else 'left', overflow='fold', width=column_width)
    for row in cells:
        table.add_row(*map(Text, row))
    return Group(Text(caption, 'bold'), table)


def fits(columns: Columns[Row], rows: Iterable[Row], width: int) -> bool:
    """Whether a table with these columns fits into the width, with lines broken only between words."""

    cells = [[printable(cell(row)) for cell in columns.values()] for row in rows]
    return _column_widths([list(columns), *cells], width - _SEPARATION * len(columns)) is not None


def as_comments(table: Group) -> str:
    """A table as lines of YAML comments."""

    text = io.StringIO()
    Console(width=100, file=text).print(table)
    return ''.join(f'# {line}'.rstrip() + '\n' for line in text.getvalue().splitlines())


def percent(value: 'Interval') -> str:
    """A share in percent, with its margin in percentage points: `97.71 ± 0.12`."""

    return with_margin(value, scale=100)


def count(value: 'Interval') -> str:
    """A mean number of items, with its margin: `1,580 ± 12`."""

    return with_margin(value, ',.0f')


def number(value: 'Interval') -> str:
    """Any other mean to three digits, with its margin to the same place: `12.3 ± 0.5`, `63.8 ± 117.1`."""

    form = ',.3g'
    if 1e-3 <= abs(value.mean) < 1e6:
        form = f',.{max(0, 2 - math.floor(math.log10(abs(value.mean))))}f'
    return with_margin(value, form)


def _column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The widths of columns: that of the longest cell, but less if all together need more than the width, and at least
    that of the longest word; None if even these do not fit.
    """

    columns = [list(column) for column in zip(*rows, strict=True)]
    least = [max(map(_longest_word, column)) for column in columns]
    widths = [max(map(cell_len, column)) for column in columns]
    if sum(least) > width:
        return None
    while sum(widths) > width:
        spare = [most - word for most, word in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _paragraph(headings: Sequence[str], row: Sequence[str], width: int) -> Text:
    """The first cell in a line of its own, and the others that are not empty with their headings."""

    first, *cells = row
    values = ', '.join(f'{heading} {_without_breaks(cell)}'
                       for heading, cell in zip(headings[1:], cells, strict=True) if cell)
    indent = ' ' * (4 + len(first) - len(first.lstrip()))
    lines = textwrap.wrap(values, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return Text('\n'.join([first, *lines]).replace(_NO_BREAK_SPACE, ' '))


def _longest_word(cell: str) -> int:
    """The width of its longest word, with the indentation of the cell."""

    words = _without_breaks(cell.lstrip()).split(' ')
    return cell_len(cell) - cell_len(cell.lstrip()) + max(map(cell_len, words))


def _without_breaks(cell: str) -> str:
    """The cell with spaces that break no line in places where it must not be broken."""

    return _WORD_BETWEEN_NUMBERS.sub(rf'{_NO_BREAK_SPACE}\1{_NO_BREAK_SPACE}', cell)
