"""sweep.json in the folder of a sweep: its cells, each with its settings, the digest of its recipe, and its state."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lth import __version__
from lth.errors import LthError, quote
from lth.recipes.section import Section, validate_section
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.sweep_folder import SWEEP
from lth.system import files

State = Literal['pending', 'running', 'complete', 'failed']
_FORMAT = 1
# Ten thousand cells with about a thousand characters each.
_MOST_BYTES = 2 ** 25


class CellRecord(Section):
    """A cell: its name, which is that of its run folder, its settings by dotted key, the digest of its recipe, which
    does not depend on the number of rounds, the seeds, and its state; `reason` says why it failed.
    """

    cell: str
    settings: dict[str, Any]
    digest: str
    seeds: list[int]
    state: State
    reason: str | None = None


class _Content(Section):
    format: Literal[1]
    lth: str
    cells: list[CellRecord]


def read_sweep(folder: Path) -> list[CellRecord]:
    """The cells of the sweep in the folder, in the order of its grid. LthError if sweep.json is missing or damaged."""

    path = folder / SWEEP
    advice = 'Restore it, or delete it and repeat `lth sweep run` with the grid file: complete cells are kept.'
    content = read_checked(path, at_most=_MOST_BYTES, advice=advice)
    if content.get('format') != _FORMAT:
        raise LthError(f'{path} has the format {quote(content.get("format"))} of lth {quote(content.get("lth"))}, '
                       f'which lth {__version__} cannot read. Use that version, or choose another folder in the grid '
                       'file.')
    return validate_section(_Content, content, str(path)).cells


def write_sweep(folder: Path, cells: Sequence[CellRecord]) -> None:
    """Write sweep.json. It is on disk when this function returns."""

    content = {'format': _FORMAT, 'lth': __version__, 'cells': [cell.model_dump(mode='json') for cell in cells]}
    files.write(folder / SWEEP, encode_checked(content))
