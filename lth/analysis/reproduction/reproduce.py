"""An experiment of a paper from its file to its claims: all runs, one after another, then the table and the figures."""
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lth.analysis import json_output, mode_connectivity, run_checks, sanity_checks
from lth.analysis.figures import FIGURES
from lth.analysis.papers import BudgetName, Experiment, find_experiment
from lth.analysis.plotting import figure_set, image_files, plot
from lth.analysis.reproduction.claims import ClaimResult, check_claims
from lth.analysis.reproduction.measures import Outcome
from lth.analysis.reproduction.scale import scale_notes
from lth.analysis.reproduction.tables import TableResult, result_tables
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments import folders, grid
from lth.experiments.grid import SEARCHES, GridRun
from lth.experiments.open_run import open_run
from lth.experiments.reporter import OpenReporter
from lth.experiments.run_target import RunTarget
from lth.runs import sessions, sweep_folder
from lth.runs.run_path import RunPath
from lth.system import files


@dataclass(frozen=True)
class ReproductionPlan:
    """An experiment at a budget: its runs at that scale by name, in an order in which each follows its source, the
    seeds, and in words what is smaller than in the paper.
    """

    name: str
    experiment: Experiment
    budget: BudgetName
    runs: dict[str, GridRun]
    seeds: tuple[int, ...]
    scale: tuple[str, ...]


@dataclass(frozen=True)
class Reproduction:
    """What a reproduction gave, also written to `report`. `figures` are image files. `seconds` is how long this call
    took, `training_seconds` how long all commands took that trained its runs.
    """

    plan: ReproductionPlan
    folder: Path
    claims: list[ClaimResult]
    tables: list[TableResult]
    figures: list[Path]
    seconds: float
    training_seconds: float

    @property
    def report(self) -> Path:
        """The JSON file with this result."""

        return self.folder / f'{self.plan.name}.json'


def plan_experiment(name: str, budget: BudgetName = 'small', seeds: Sequence[int] | None = None) -> ReproductionPlan:
    """The plan of an experiment, with the budget's number of seeds unless seeds are given. LthError if it is unknown,
    or if a setting is wrong.
    """

    experiment = find_experiment(name)
    if budget not in experiment.budgets:
        raise LthError(f'{name} has no budget {budget}. It has: {", ".join(experiment.budgets)}.')
    scale = experiment.budgets[budget]
    full = grid.expand(experiment.runs)
    runs = {run: grid.reduced(run, entry, scale.reduce) for run, entry in full.items()}
    chosen = tuple(range(scale.seeds) if seeds is None else seeds)
    for figure in experiment.figures:
        FIGURES.canonical(figure.name)
    for entry in runs.values():
        if entry.command in SEARCHES:
            grid.search_plan(entry)
    notes = scale_notes(full, runs, len(chosen), experiment.budgets['full'].seeds)
    return ReproductionPlan(Path(name).stem, experiment, budget, _in_order(runs), chosen, tuple(notes))


def reproduce(
        plan: ReproductionPlan, target: RunTarget, open_reporter: OpenReporter, on_message: Callable[[str], None],
) -> Reproduction:
    """Train what is missing of the runs in `target.folder`, and compare them with the claims. A call that is repeated
    continues where the last one was interrupted. A run that fails, such as a search that prunes a layer completely, is
    left out with a message, and its claims cannot be told. LthError if the environment fails, such as memory.
    """

    start = time.monotonic()
    _refuse_other_folder(target.folder)
    outcomes: dict[str, Outcome] = {}
    # Starting a process for each seed would take most of the time of such small runs.
    target = replace(target, in_process=plan.budget == 'smoke' and target.executor == 'local')
    for number, (name, run) in enumerate(plan.runs.items(), 1):
        on_message(f'Run {number} of {len(plan.runs)}: {name} ({run.command})')
        if run.source and run.source not in outcomes:
            on_message(f'Note: {name} is left out, since {run.source} failed.')
            continue
        run_target = replace(target, folder=target.folder / name)
        source = outcomes[run.source].folder if run.source else None
        try:
            outcomes[name] = _outcome(run, source, run_target, plan.seeds, open_reporter, on_message)
        except LthError as error:
            if error.exit_code == ENVIRONMENT_ERROR:
                raise
            on_message(f'Note: {name} failed, so its claims cannot be told: {error}')
    too_small = 'the budget smoke shows only that everything runs' if plan.budget == 'smoke' else ''
    claims = check_claims(plan.experiment.claims, outcomes, too_small=too_small)
    tables = result_tables(plan.experiment.tables, plan.runs, outcomes)
    figures = _draw(plan, outcomes, target.folder)
    training_seconds = sum(_session_seconds(target.folder, name) for name in outcomes)
    done = Reproduction(plan, target.folder, claims, tables, figures, time.monotonic() - start, training_seconds)
    output = json_output.reproductions.ReproductionReport.of_reproduction(done)
    files.write(done.report, f'{json_output.values.encode(output)}\n'.encode())
    return done


def _refuse_other_folder(folder: Path) -> None:
    """LthError if the folder is that of a run or of a sweep, or no folder."""

    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise LthError(f'--run: {folder} is not a folder. Choose another one for the runs of the experiment.')
    if sweep_folder.is_sweep(folder) or os.path.isfile(folder / 'recipe.yaml'):
        kind = 'sweep' if sweep_folder.is_sweep(folder) else 'run'
        raise LthError(f'--run: {folder} is the folder of a {kind}. Choose another one for the runs of the experiment.')


def _outcome(
        run: GridRun, source: Path | None, target: RunTarget, seeds: Sequence[int], open_reporter: OpenReporter,
        on_message: Callable[[str], None]) -> Outcome:
    """Train a run as far as it is not on disk."""

    if source is None:
        return Outcome(grid.run_search(run, target, seeds, open_reporter).folder, seeds)
    if run.command == 'sanity-check':
        return _checked(run, source, target, seeds, open_reporter, on_message)
    if run.command == 'stability':
        return _stability(run, source, target, seeds, on_message)
    return Outcome(grid.run_derived(run, source, target, seeds, open_reporter).folder, seeds)


def _checked(
        run: GridRun, source: Path, target: RunTarget, seeds: Sequence[int], open_reporter: OpenReporter,
        on_message: Callable[[str], None]) -> Outcome:
    opened = sanity_checks.open_checked(RunPath(source), seeds=seeds, number=run.round)
    names, _ = sanity_checks.select_checks(run.checks, opened)
    steps = list(sanity_checks.check_runs(opened, target.folder, names, grid.changes_of(run)))
    run_checks.run_checks(steps, opened, target, open_reporter, on_message)
    return Outcome(target.folder, seeds)


def _stability(
        run: GridRun, source: Path, target: RunTarget, seeds: Sequence[int], on_message: Callable[[str], None],
) -> Outcome:
    plan, stored = open_run(RunPath(source))
    last = min(stored.round_count(seed) for seed in seeds) - 1
    rounds = sorted({min(number, last) for number in run.rounds or [0, last]})
    pairs = mode_connectivity.plan_pairs(plan, stored, rounds, run.part_at, pairs=1, points=30)
    errors = mode_connectivity.measure_pairs(
        stored, replace(target, folder=source), pairs, lambda _done, _total: None, on_message)
    return Outcome(source, seeds, tuple(zip(pairs, errors, strict=True)))


def _session_seconds(folder: Path, name: str) -> float:
    """The time of all sessions of a run of the experiment and of its controls and checks."""

    found = [path for part in (name, f'{name}-controls') for path in (folder / part).rglob(sessions.FOLDER)]
    return sum(sessions.total_seconds(sessions.read(path.parent)) for path in found)


def _draw(plan: ReproductionPlan, outcomes: Mapping[str, Outcome], folder: Path) -> list[Path]:
    """The figures of the experiment, in image files in the folder."""

    drawn: list[Path] = []
    for number, figure in enumerate(plan.experiment.figures, 1):
        paths = [RunPath(outcomes[name].folder) for name in figure.runs if name in outcomes]
        if not paths:
            continue
        contents = figure_set.figure_set(paths, [figure.name]).contents
        files.create_folder(folder)
        file = folder / f'{plan.name}-figure-{number}.png'
        target = image_files.image_target([path.folder for path in paths], file, None)
        drawn += plot.save_plots(plot.plots(contents, 'screen'), target)
    return drawn


def _in_order(runs: Mapping[str, GridRun]) -> dict[str, GridRun]:
    """The runs, each after its source."""

    ordered: dict[str, GridRun] = {}
    waiting = dict(runs)
    while waiting:
        ready = {name: run for name, run in waiting.items() if run.source is None or run.source in ordered}
        if not ready:
            raise LthError(f'The runs {", ".join(waiting)} start from each other.')
        ordered |= ready
        waiting = {name: run for name, run in waiting.items() if name not in ready}
    return ordered


def default_folder(plan: ReproductionPlan) -> Path:
    """The folder of a reproduction: runs/NAME-BUDGET."""

    return folders.run_folder(None, f'{plan.name}-{plan.budget}')
