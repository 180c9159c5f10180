"""Reports while a sweep is trained, and how the reports of its runs become reports of its cells."""
from collections.abc import Sequence
from typing import Protocol

from lth.experiments.plan import Plan
from lth.experiments.reporter import SeedProgress
from lth.runs.sweep_file import CellRecord


class SweepReporter(Protocol):
    """Receives reports about a sweep. All calls come from the process and thread that called `run_sweep`."""

    def message(self, text: str) -> None:
        """A sentence for the user."""

    def cell_started(self, cell: str, steps: int) -> None:
        """The training of a cell starts; `steps` is the number of iterations of all its runs and seeds."""

    def cell_progress(self, cell: str, steps: int) -> None:
        """So many iterations of the cell are done."""

    def cell_ended(self, record: CellRecord) -> None:
        """The cell is complete, or failed for the reason in its record."""


class RunReporter:
    """The Reporter of one run of a cell. `before` is the number of iterations of the runs before it. Messages that are
    in `known` were reported by another run.
    """

    def __init__(self, cell: str, plan: Plan, reporter: SweepReporter, *, before: int, known: set[str]) -> None:
        self._cell = cell
        self._plan = plan
        self._reporter = reporter
        self._before = before
        self._known = known
        self._steps: dict[int, int] = {}

    def message(self, text: str) -> None:
        """Pass the sentence on, unless another run had the same."""

        if text not in self._known:
            self._known.add(text)
            self._reporter.message(text)

    def progress(self, progress: SeedProgress) -> None:
        """Report the iterations of all seeds of the cell."""

        self._count(progress.seeds, self._plan.steps_done(progress.number, progress.step))

    def round_saved(self, progress: SeedProgress) -> None:
        """See `progress`."""

        self.progress(progress)

    def _count(self, seeds: Sequence[int], steps: int) -> None:
        self._steps |= dict.fromkeys(seeds, steps)
        self._reporter.cell_progress(self._cell, self._before + sum(self._steps.values()))
