"""What the page shows, as data: answers, figures, tables, settings and the origin of each run."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.analysis import checks_file
from lth.analysis.answers.answer import Answer, make_answer
from lth.analysis.checks_file import StoredReport
from lth.analysis.html_report.cells import Cell, Table, integer, make_table
from lth.analysis.html_report.measurement_tables import MEASUREMENT_TABLES
from lth.analysis.html_report.origin import Origin, run_origin
from lth.analysis.html_report.run_tables import check_table, run_tables
from lth.analysis.plotting.figure_set import FigureSet, figures_of_runs
from lth.analysis.plotting.runs import PlottedRun, labeled_runs, pair_title
from lth.analysis.run_view import RunView
from lth.analysis.summary_table import algorithm_settings
from lth.analysis.training_operations import mean_training_operations
from lth.errors import LthError
from lth.recipes.flat_settings import Setting, flat_settings
from lth.runs.run_path import RunPath


@dataclass(frozen=True, kw_only=True)
class RunContent:
    """The part of one run: what it is, what it says, what the sanity checks of its rounds say, what is missing, its
    tables, and where it comes from.
    """

    label: str
    folder: Path
    title: str
    facts: Sequence[tuple[str, str]]
    answer: Answer
    checks: Sequence[StoredReport]
    notes: Sequence[str]
    tables: Sequence[Table]
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """The whole page. There is a set of figures for each data set, under its name."""

    title: str
    runs: Sequence[RunContent]
    figures: Sequence[tuple[str, FigureSet]]
    settings: Table

    def notes(self) -> list[str]:
        """What is missing, in sentences, with the run if there are several."""

        if len(self.runs) == 1:
            return list(self.runs[0].notes)
        return [f'{run.label}: {note}' for run in self.runs for note in run.notes]


def report_content(paths: Sequence[RunPath], margin: float) -> ReportContent:
    """The content of the page for the runs at these paths; `margin` is that of answers. LthError if a run has no
    completed round or is damaged.
    """

    for path in paths:
        if path.round is not None:
            raise LthError(f'{path.folder}/seed-{path.seed}/round-{path.round:02d} is a round, and a report is about '
                           f'all rounds of a run. Give {path.folder}.')
    opened = labeled_runs(paths)
    runs = [content for run in opened for content in _run_contents(run, margin)]
    groups: dict[str, list[PlottedRun]] = {}
    for run in opened:
        groups.setdefault(run.dataset, []).append(run)
    return ReportContent(
        title=_title(opened), runs=runs, settings=_setting_table(runs, opened),
        figures=[(dataset, figures_of_runs(group)) for dataset, group in groups.items()])


def _title(runs: Sequence[PlottedRun]) -> str:
    if len({run.dataset for run in runs}) == 1:
        return pair_title(runs)
    return f'{len(runs)} runs'


def _run_contents(run: PlottedRun, margin: float) -> list[RunContent]:
    """The part of a run, and that of the run that finetuned its last round."""

    contents = [_run_content(run.view, run.label, margin)]
    finetuned = run.view.finetuned
    if finetuned:
        seeds = [seed for seed in run.seeds if finetuned.round_count(seed)]
        view = RunView(finetuned, seeds, {}, None, [], [], [])
        contents.append(_run_content(view, f'{run.label}, finetuned', margin))
    return contents


def _run_content(view: RunView, label: str, margin: float) -> RunContent:
    answer = make_answer(view.run, view.seeds, view.controls, margin)
    notes = [*view.unfinished, *view.left_out]
    checks = checks_file.read_reports(view.derived, notes)
    measured = [table for make in MEASUREMENT_TABLES if (table := make(view, margin))]
    return RunContent(
        label=label, folder=view.run.folder, facts=_facts(view), answer=answer, checks=checks, notes=notes,
        title=f'{view.run.recipe["model"]["name"]} on {view.run.recipe["data"]["name"]}',
        tables=[*run_tables(view, answer), *map(check_table, checks), *measured], origin=run_origin(view))


def _facts(view: RunView) -> list[tuple[str, str]]:
    record, recipe = view.run.record(view.seeds[0], 0), view.run.recipe
    facts = [('folder', str(view.run.folder)), ('algorithm', str(recipe['algorithm']['name'])),
             ('seeds', ', '.join(map(str, view.seeds))), ('prunable weights', f'{record.prunable:,}')]
    operations = mean_training_operations(view.run, view.seeds)
    if operations:
        facts.append(('multiply-adds of the training of a seed', f'{operations.mean:.3g}'))
    if view.run.source_folder:
        facts.append(('starts from', str(view.run.source_folder)))
    if carried := algorithm_settings(view.run).carried:
        facts.append(('transferred', carried))
    if view.derived:
        facts.append(('results that start from it', ', '.join(map(str, view.derived))))
    return facts


def _setting_table(contents: Sequence[RunContent], runs: Sequence[PlottedRun]) -> Table:
    """All settings, with a column for each run; with several runs the first column says where they differ."""

    stored = [one for run in runs for one in (run.run, run.view.finetuned) if one]
    columns = {content.label: flat_settings(one.recipe) for content, one in zip(contents, stored, strict=True)}
    names = list(dict.fromkeys(name for settings in columns.values() for name in settings))
    table = make_table('All settings', {
        'setting': Cell,
        **{label: _setting_column(settings) for label, settings in columns.items()},
        'differs': lambda name: Cell(_difference([settings.get(name) for settings in columns.values()]))}, names,
        'Settings of the recipe by their dotted names. A setting that a run does not have is empty.')
    return table


def _setting_column(settings: dict[str, Setting]) -> Callable[[str], Cell]:
    def cell(name: str) -> Cell:
        value = settings.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return integer(value) if isinstance(value, int) else Cell(str(value), value)
        return Cell('' if value is None else str(value))
    return cell


def _difference(values: Sequence[Setting]) -> str:
    return 'yes' if len({repr(value) for value in values}) > 1 else ''
