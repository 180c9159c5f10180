"""Files with one JSON object in each line, in the order of their iterations."""
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lth.errors import LthError
from lth.runs.stored import Stored, validate_stored
from lth.system.json_text import parse_json


class IterationLine(Stored):
    """A line about an iteration. Each kind of line declares the field itself, at the place that it has in the file."""

    if TYPE_CHECKING:
        iteration: int


Line = TypeVar('Line', bound=IterationLine)


def parse_lines(line: type[Line], content: bytes, path: Path, advice: str, *, count: int, items: str) -> list[Line]:
    """The lines of a file with `count` lines, `items` in words. LthError, which ends with the advice, unless they are
    complete and in order.
    """

    text = content.decode('utf-8', errors='replace')
    texts = text.removesuffix('\n').split('\n') if text else []
    if len(texts) != count:
        raise LthError(f'{path} is corrupt: it has {len(texts)} lines, and {count} {items} are recorded. {advice}')
    rows = []
    for number, one in enumerate(texts, 1):
        origin = f'{path}, line {number},'
        rows.append(validate_stored(line, parse_json(one, origin, advice), origin, advice))
    if any(before.iteration >= after.iteration for before, after in itertools.pairwise(rows)):
        raise LthError(f'{path} is corrupt: its iterations do not increase from line to line. {advice}')
    return rows
