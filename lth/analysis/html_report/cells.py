"""Tables of the page: cells with the text that is shown and the key by which a column is sorted."""
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from lth.analysis.number_text import with_margin
from lth.analysis.statistics import Interval

Row = TypeVar('Row')


class Cell(NamedTuple):
    """A cell; `key` is a number for numbers, and None if the text itself is compared. Empty cells are sorted last."""

    text: str
    key: float | None = None


@dataclass(frozen=True)
class Table:
    """A table. The first column holds the names of the rows; `explanation` says what the headings mean."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    explanation: str = ''


def make_table(
        caption: str, columns: Mapping[str, Callable[[Row], Cell]], rows: Iterable[Row], explanation: str = '',
) -> Table:
    """A table with these columns: a function makes the cell of each row. Columns without any text are left out."""

    cells = [[cell(row) for cell in columns.values()] for row in rows]
    shown = [position for position in range(len(columns)) if any(row[position].text for row in cells)]
    headings = list(columns)
    return Table(caption, [headings[position] for position in shown],
                 [[row[position] for position in shown] for row in cells], explanation)


EMPTY = Cell('')


def integer(value: int | None) -> Cell:
    """A count, such as 266,200."""

    return EMPTY if value is None else Cell(f'{value:,}', value)


def percent(share: float | None, digits: int = 2) -> Cell:
    """A share in percent."""

    return EMPTY if share is None else Cell(f'{100 * share:.{digits}f}', share)


def mean_percent(value: Interval) -> Cell:
    """A mean of shares in percent, with its margin in percentage points."""

    return Cell(with_margin(value, scale=100), value.mean)


def mean_points(value: Interval) -> Cell:
    """A mean difference of shares in percentage points, with its sign."""

    return Cell(with_margin(value, scale=100, plus=True), value.mean)


def mean_count(value: Interval) -> Cell:
    """A mean number of things, with its margin."""

    return Cell(with_margin(value, ',.0f'), value.mean)


def mean_number(value: Interval) -> Cell:
    """A mean with two decimals and its margin."""

    return Cell(with_margin(value, ',.2f'), value.mean)
