"""A run on disk for programs: its tables, tickets and controls."""
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lth.analysis import result_tables
from lth.analysis.answers.answer import Answer, make_answer
from lth.analysis.answers.levels import MARGIN
from lth.analysis.html_report.report import write_report
from lth.analysis.metric_table import MetricRow, completed_rounds, metric_rows
from lth.analysis.plotting.figure_set import figure_set
from lth.analysis.plotting.plot import Plot, plots
from lth.analysis.result_tables import RoundRow, Table
from lth.analysis.run_view import view_run
from lth.errors import LthError, LthWarning
from lth.experiments import derived_runs, folders, open_run
from lth.experiments.plan import Plan
from lth.exports.torch_modules import NamedTicket, load_ticket
from lth.runs.folder import Run
from lth.runs.run_path import RunPath, runs_in
from lth.runs.stored_run import StoredRun


@dataclass(frozen=True)
class RunResults:
    """A run on disk, with the seeds that were trained or opened.

        run = lth.open_run('runs/lenet-300-100-digits')
        run.table().to_pandas()
        model = run.ticket(seed=0, round=3).module()

    Results are read from the files of the run when they are asked for.
    """

    folder: Path
    seeds: tuple[int, ...]
    plan: Plan = field(repr=False)
    stored: Run = field(repr=False)

    @classmethod
    def open(cls, path: RunPath) -> Self:
        """The results at a path: of all seeds that have a completed round, or of the seed that the path names."""

        plan, stored = open_run.open_run(path)
        seeds = stored.seeds() if path.seed is None else [path.seed]
        return cls(path.folder, tuple(seeds), plan, stored)

    def table(self) -> Table[RoundRow]:
        """One row for each seed and round."""

        return result_tables.round_table(self.stored, self.seeds)

    def metrics(self) -> Table[MetricRow]:
        """One row for each value that was measured, with the settings of the run."""

        return Table(metric_rows(self.stored, completed_rounds(self.stored, self.seeds)))

    def answer(self, margin: float = MARGIN) -> Answer:
        """What the run and its controls say: which tickets match the dense network (at most `margin`, a share of the
        images, below it with 95% confidence), how accurate a gem is, what finetuning gains. `str()` is the text.
        """

        controls: dict[str, list[StoredRun]] = view_run(RunPath(self.folder)).controls
        return make_answer(self.stored, self.seeds, controls, margin)

    def ticket(self, seed: int, round: int) -> NamedTicket:  # pylint: disable=redefined-builtin
        """The ticket of a round, as `lth.load_ticket` reads it: masks and weights by name, and `module()`."""

        return load_ticket(self.stored.round_folder(seed, round))

    def plot(
            self, figure: str = 'accuracy', *, rounds: Sequence[int] | None = None, style: str = 'screen') -> Plot:
        """A figure of the run, see `lth list figures`. A notebook shows it; `save` writes it to a file.

            run.plot('learning-curves', rounds=[0, 3]).save('curves.pdf')
        """

        seed = self.seeds[0] if len(self.seeds) == 1 else None
        figures = figure_set([RunPath(self.folder, seed)], [figure], rounds=rounds).contents
        return plots(figures, style)[0]

    def report(self, file: str | Path | None = None, margin: float = MARGIN) -> Path:
        """Write a page about the run in one HTML file, by default RUN/report.html, and return its path: answers,
        figures, tables, settings and how to repeat the run. `margin` is that of `answer`. Needs the extra `report`.
        """

        seed = self.seeds[0] if len(self.seeds) == 1 < len(self.stored.seeds()) else None
        path = None if file is None else Path(file)
        return write_report([RunPath(self.folder, seed)], path, margin).file

    @property
    def controls(self) -> dict[str, 'RunResults']:
        """The runs of the controls of this run, by the names of their folders, such as 'reinit' and 'reinit-2'. Those
        that were trained from other tickets are left out with a warning.
        """

        controls = {}
        for folder in runs_in(folders.controls_folder(self.folder)):
            control = RunResults.open(RunPath(folder))
            try:
                derived_runs.refuse_replaced_source(control.plan, control.stored, control.seeds)
            except LthError as error:
                warnings.warn(LthWarning(f'{folder} is left out: {error}'), stacklevel=2)
            else:
                controls[folder.name] = control
        return controls
