"""What a run of a sweep costs besides its training: many runs of two short rounds, by processes of this machine."""
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lth.errors import LthError
from lth.experiments.changes import Changes
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.experiments.sweeps.cells import PlannedCell, check_cells
from lth.experiments.sweeps.grid_file import CellSettings, GridFile, cell_settings
from lth.experiments.sweeps.sweep import Sweep, run_sweep
from lth.runs.sweep_file import CellRecord
from lth.system import processes

RUNS = 100
_KEY = 'training.optimizer.learning_rate'
# One pruning, and rounds of a few iterations.
SHORT = (('algorithm.rounds', 1), ('training.length', '20 iterations'))


@dataclass(frozen=True)
class SweepTime:
    """The time of a sweep of so many runs, in seconds: until the first run is complete, which includes the start of the
    processes, and of each further run, on average.
    """

    runs: int
    processes: int
    first_seconds: float
    seconds_per_run: float


class _Clock:
    """A SweepReporter that notes when cells end."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.ends: list[float] = []

    def message(self, _text: str) -> None:
        """Ignore the sentence."""

    def cell_started(self, _cell: str, _steps: int) -> None:
        """Ignore the start."""

    def cell_progress(self, _cell: str, _steps: int) -> None:
        """Ignore the progress."""

    def cell_ended(self, record: CellRecord) -> None:
        """Note the time. LthError if the cell failed."""

        if record.state == 'failed':
            raise LthError(f'A run of the sweep failed: {record.reason}')
        self.ends.append(time.perf_counter() - self.start)


def time_sweep(
        make_plan: Callable[[Changes], Plan], changes: Changes, target: RunTarget, *, runs: int = RUNS) -> SweepTime:
    """Run a sweep of searches over learning rates in a temporary folder, each planned by make_plan(changes)."""

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def plan_cell(cell: CellSettings) -> PlannedCell:
            settings = [*changes.overrides, *SHORT, *cell.settings.items()]
            plan = make_plan(Changes(options=changes.options, overrides=settings))
            return PlannedCell({folder / cell.name: plan}, target, (0,))
        grid = GridFile(command='', folder=name, grid={_KEY: [(1 + number) / 1e5 for number in range(runs)]})
        clock = _Clock()
        run_sweep(Sweep(grid, folder, check_cells(cell_settings(grid), plan_cell)), clock)
    first, last = clock.ends[0], clock.ends[-1]
    return SweepTime(runs, processes.available_slots(target.threads or 1), first, (last - first) / max(1, runs - 1))
