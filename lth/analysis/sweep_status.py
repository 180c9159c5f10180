"""How far the cells of a sweep are, from sweep.json and the files of their runs alone."""
from dataclasses import dataclass
from pathlib import Path

from lth.analysis import run_list
from lth.analysis.run_list import ListedRun
from lth.errors import LthError, quote
from lth.runs import sweep_file, sweep_folder
from lth.runs.sweep_file import CellRecord, State
from lth.system import file_lock


@dataclass(frozen=True)
class CellStatus:
    """A cell of a sweep with its run, None if nothing of it is on disk. `reason` says why it failed, or what of it is
    damaged.
    """

    record: CellRecord
    folder: Path
    state: State
    reason: str | None
    run: ListedRun | None


def sweep_status(folder: Path) -> list[CellStatus]:
    """The cells of the sweep in the folder, which `find_sweep` returned, in the order of its grid."""

    holder = file_lock.holder(sweep_folder.lock_file(folder))
    return [_status(folder / record.cell, record, in_training=holder is not None)
            for record in sweep_file.read_sweep(folder)]


def find_sweep(folder: Path) -> Path:
    """The folder of a sweep, which a relative path may also name in ./runs."""

    for place in (folder, Path('runs') / folder):
        if sweep_folder.is_sweep(place):
            return place
    raise LthError(f'{quote(str(folder))} is not the folder of a sweep. Give the `folder` of a grid file whose sweep '
                   'was started with `lth sweep run`; relative names are also looked up in ./runs.')


def _status(folder: Path, record: CellRecord, *, in_training: bool) -> CellStatus:
    run = run_list.list_run(folder) if (folder / 'recipe.yaml').exists() else None
    # A process that was killed has written no other state.
    state: State = 'pending' if record.state == 'running' and not in_training else record.state
    if run and run.state == 'damaged':
        return CellStatus(record, folder, 'failed', run.detail, run)
    if state == 'complete' and (run is None or run.state == 'unfinished'):
        state = 'pending'  # rounds were deleted
    return CellStatus(record, folder, state, record.reason, run)
