"""Run a sweep: train what its cells lack. The same call, repeated, completes what is missing."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.errors import LthError
from lth.experiments.executors import make_executor
from lth.experiments.sweeps.cells import Cell
from lth.experiments.sweeps.grid_file import GridFile
from lth.experiments.sweeps.reporter import SweepReporter
from lth.experiments.sweeps.scheduler import Scheduler
from lth.experiments.sweeps.states import States
from lth.runs import sweep_file
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

        known = sweep_file.read_sweep(self.folder) if sweep_file.is_sweep(self.folder) else []
        stored = {record.cell: record for record in known}
        if missing := stored.keys() - {cell.name for cell in self.cells}:
            raise LthError(f'{self.folder} has the cell {min(missing)}, and this grid does not. A grid may only grow: '
                           'put its values back, or choose another folder.')
        return [_record(cell, stored.get(cell.name)) for cell in self.cells]


def run_sweep(sweep: Sweep, reporter: SweepReporter, *, retry: bool = False) -> list[CellRecord]:
    """Train what the cells lack, write sweep.json, and return its cells. A cell that fails does not stop the others.
    Cells that failed in an earlier session are left alone, unless `retry`. LthError if another process runs the sweep,
    or if the executor does not work.
    """

    with file_lock.hold(sweep_file.lock_file(sweep.folder), _REMEDY):
        for path in sweep.folder.glob('*.partial'):  # of a session that was killed
            path.unlink(missing_ok=True)
        states = States(sweep.folder, sweep.records())
        grid = yaml_text.dump_yaml(sweep.grid.model_dump(mode='json'))
        files.write(sweep.folder / sweep_file.GRID, grid.encode())
        states.write()
        missing = [cell for cell in sweep.cells if states.is_missing(cell.name, retry=retry)]
        try:
            _train(missing, states, reporter)
        finally:
            states.write()
        return states.records


def _train(cells: Sequence[Cell], states: States, reporter: SweepReporter) -> None:
    if not cells:
        return
    target = cells[0].planned.target
    executor = make_executor(target.executor, target.executor_settings)
    with signal_handlers.recorded(), signals.deferred(), executor.open(target) as session:
        Scheduler(session, states, reporter).train(cells)


def _record(cell: Cell, stored: CellRecord | None) -> CellRecord:
    """The record of a cell, which had another one in an earlier session."""

    new = CellRecord(cell=cell.name, settings=dict(cell.settings), digest=cell.digest, seeds=list(cell.seeds),
                     state='complete' if cell.is_complete else 'pending')
    same = stored is not None and (stored.digest, stored.seeds) == (new.digest, new.seeds)
    if stored and same and stored.state == 'failed' and not cell.is_complete:
        return new.model_copy(update={'state': 'failed', 'reason': stored.reason})
    return new
