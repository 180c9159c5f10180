"""Run a sweep: train what its cells lack. The same call, repeated, completes what is missing."""
import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.errors import LthError
from lth.experiments.executors import make_executor
from lth.experiments.executors.protocol import Session
from lth.experiments.sweeps.cells import Cell
from lth.experiments.sweeps.grid_file import GridFile, read_grid
from lth.experiments.sweeps.reporter import SweepReporter
from lth.experiments.sweeps.scheduler import Scheduler
from lth.experiments.sweeps.states import States
from lth.runs import sweep_file, sweep_folder
from lth.runs.sweep_file import CellRecord
from lth.system import file_lock, files, signal_handlers, signals, yaml_text

_REMEDY = 'Wait until it ends or stop it, or choose another folder in the grid file.'


@dataclass(frozen=True)
class Sweep:
    """A grid, its cells, which are all checked, and the folder of the sweep."""

    grid: GridFile
    folder: Path
    cells: Sequence[Cell]

    def records(self) -> list[CellRecord]:
        """The cells with their states before this session: complete if all rounds are on disk, failed if they failed in
        an earlier session. LthError if the folder has a cell that the grid has not.
        """

        known = sweep_file.read_sweep(self.folder) if sweep_folder.is_sweep(self.folder) else []
        stored = {record.cell: record for record in known}
        if missing := stored.keys() - {cell.name for cell in self.cells}:
            raise LthError(f'{self.folder} has the cell {min(missing)}, and this grid does not. A grid may only grow: '
                           'put its values back, or choose another folder.')
        return [_record(cell, stored.get(cell.name)) for cell in self.cells]

    def missing(self, *, retry: bool = False) -> list[Cell]:
        """The cells to train in this session: those that are not complete. Cells that failed in an earlier session are
        among them only to `retry`. LthError as from `records`.
        """

        states = ('pending', 'failed') if retry else ('pending',)
        return [cell for cell, record in zip(self.cells, self.records(), strict=True) if record.state in states]


def run_sweep(sweep: Sweep, reporter: SweepReporter, *, retry: bool = False) -> list[CellRecord]:
    """Train what the cells lack, write sweep.json, and return its cells. A cell that fails does not stop the others.
    Cells that failed in an earlier session are left alone, unless `retry`. LthError if another process runs the sweep,
    or if the executor does not work.
    """

    _refuse_other_folder(sweep)
    with file_lock.hold(sweep_folder.lock_file(sweep.folder), _REMEDY):
        states, missing = States(sweep.folder, sweep.records()), sweep.missing(retry=retry)
        # Nothing is written unless the executor works.
        with _session(missing) as session:
            states.write()
            _write_grid(sweep)
            try:
                if session:
                    Scheduler(session, states, reporter).train(missing)
            finally:
                states.write()
        return states.records


def _refuse_other_folder(sweep: Sweep) -> None:
    """LthError if the folder cannot be that of the sweep: what it holds would be changed."""

    folder = sweep.folder
    if os.path.lexists(folder) and not folder.is_dir():
        raise LthError(f'{folder} is not a folder. Choose another one in the grid file.')
    if (folder / 'recipe.yaml').exists():
        raise LthError(f'{folder} is the folder of a run. Choose another one for the sweep in the grid file.')
    grid = folder / sweep_folder.GRID
    if grid.exists() and not sweep_folder.is_sweep(folder) and not _is_grid(grid, sweep.grid):
        raise LthError(f'{grid} is not the grid of this sweep, and would be replaced by it. Move that file away, or '
                       'choose another folder in the grid file.')


@contextlib.contextmanager
def _session(cells: Sequence[Cell]) -> Iterator[Session | None]:
    """A session of the executor that trains these cells; None if there are none."""

    if not cells:
        yield None
        return
    target = cells[0].planned.target
    executor = make_executor(target.executor, target.executor_settings)
    with signal_handlers.recorded(), signals.deferred(), executor.open(target) as session:
        yield session


def _write_grid(sweep: Sweep) -> None:
    """Write grid.yaml, unless the same grid is there, perhaps with comments of the user."""

    path = sweep.folder / sweep_folder.GRID
    if not _is_grid(path, sweep.grid):
        files.write(path, yaml_text.dump_yaml(sweep.grid.model_dump(mode='json')).encode())


def _is_grid(path: Path, grid: GridFile) -> bool:
    """Whether a file has this grid."""

    try:
        return read_grid(path) == grid
    except LthError:
        return False


def _record(cell: Cell, stored: CellRecord | None) -> CellRecord:
    """The record of a cell, which had another one in an earlier session."""

    new = CellRecord(cell=cell.name, settings=dict(cell.settings), digest=cell.digest, seeds=list(cell.seeds),
                     state='complete' if cell.is_complete else 'pending')
    same = stored is not None and (stored.digest, stored.seeds) == (new.digest, new.seeds)
    if stored and same and stored.state == 'failed' and not cell.is_complete:
        return new.model_copy(update={'state': 'failed', 'reason': stored.reason})
    return new
