"""Train cells by one session of an executor: as many are prepared at the same time as it has places for their tasks."""
import contextlib
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from lth.errors import LthError
from lth.experiments.data_cache import DataCache
from lth.experiments.executors.protocol import Ended, Session, Task
from lth.experiments.prepared_run import prepare_run
from lth.experiments.seed_training import Report
from lth.experiments.session_log import SessionLog
from lth.experiments.sweeps.cells import Cell, of_cell
from lth.experiments.sweeps.reporter import RunReporter, SweepReporter
from lth.experiments.sweeps.states import States
from lth.experiments.thinning import thin_runs
from lth.system import signals

# The runs of a cell, one after another: the tasks of each, and what receives their reports.
_Runs = Generator[tuple[list[Task], Report], None, None]


@dataclass(eq=False)
class _CellInTraining:
    """A cell, the generator of its runs, the number of unfinished tasks of the present run, and its first error."""

    name: str
    runs: _Runs
    unfinished: int = 0
    error: LthError | RuntimeError | None = None


class Scheduler:
    """Prepares cells, submits their tasks, and passes on what the session reports. The states of the cells change with
    it.
    """

    def __init__(self, session: Session, states: States, reporter: SweepReporter) -> None:
        self._session = session
        self._states = states
        self._reporter = reporter
        self._data = DataCache()
        self._messages: set[str] = set()
        self._waiting: deque[Cell] = deque()
        self._tasks: dict[Task, tuple[_CellInTraining, Report]] = {}

    def train(self, cells: Sequence[Cell]) -> None:
        """Train the cells, until each is complete or failed."""

        self._waiting.extend(cells)
        try:
            self._start_cells()
            for task, event in self._session.events():
                if isinstance(event, Ended):
                    self._end_task(task, event.error)
                    self._start_cells()
                else:
                    self._tasks[task][1](event)
        except BaseException as error:
            self._abandon(error)
            raise

    def _start_cells(self) -> None:
        """Prepare cells until their tasks fill the session."""

        while self._waiting and len(self._tasks) < self._session.capacity:
            signals.check()
            cell = self._waiting.popleft()
            self._states.set(cell.name, 'running')
            self._reporter.cell_started(cell.name, cell.iterations)
            self._start_run(_CellInTraining(cell.name, self._runs(cell)))

    def _runs(self, cell: Cell) -> _Runs:
        """Prepare the runs of a cell one after another: its controls start from the tickets of the run before."""

        name, planned = cell.name, cell.planned
        cell.forget_plan()
        runs, before = [], 0
        for folder, plan in planned.plans.items():
            target = replace(planned.target, folder=folder)
            reporter = RunReporter(name, plan, self._reporter, before=before, known=self._messages)
            # `train` runs this generator to its end, or ends it by an error.
            # pylint: disable-next=contextmanager-generator-missing-cleanup
            with SessionLog(reporter) as log, prepare_run(plan, target, planned.seeds, log, self._data) as prepared:
                if prepared.unfinished:
                    with prepared.reports() as report:
                        yield prepared.tasks(f' of {name}'), report
            runs.append(prepared.run)
            before += plan.total_steps * len(planned.seeds)
        thin_runs(runs, planned.seeds, planned.keep)

    def _start_run(self, cell: _CellInTraining) -> None:
        """Submit the tasks of the next run of a cell; or end the cell, after its last run or a task that failed."""

        try:
            tasks, report = cell.runs.throw(cell.error) if cell.error else next(cell.runs)
        except StopIteration:
            self._reporter.cell_ended(self._states.set(cell.name, 'complete'))
        except LthError as error:
            self._reporter.cell_ended(self._states.set(cell.name, 'failed', str(of_cell(error))))
        except RuntimeError as error:
            if error is not cell.error:
                raise
            self._reporter.cell_ended(self._states.set(cell.name, 'failed', f'A bug of lth: {error}.'))
        else:
            cell.unfinished = len(tasks)
            for task in tasks:
                self._tasks[task] = cell, report
                self._session.submit(task)

    def _end_task(self, task: Task, error: LthError | RuntimeError | None) -> None:
        """Count the end of a task. After an error, the other tasks of the same run still save what they train."""

        cell, _ = self._tasks.pop(task)
        cell.unfinished -= 1
        cell.error = cell.error or error
        if not cell.unfinished:
            self._start_run(cell)

    def _abandon(self, error: BaseException) -> None:
        """Release the locks of all cells in training. What they saved stays."""

        for cell in dict.fromkeys(cell for cell, _ in self._tasks.values()):
            with contextlib.suppress(type(error)):
                cell.runs.throw(error)
            self._states.set(cell.name, 'pending')
