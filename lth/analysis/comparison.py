"""Runs side by side: their accuracy at equal densities, paired by seed, the settings in which they differ, their cost.

All runs are compared with the first. Two rounds are compared if their densities differ by less than 5%.
"""
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lth.analysis.density_levels import is_same_density
from lth.analysis.run_view import RunView, view_run
from lth.analysis.statistics import Comparison, compare_paired, compare_unpaired
from lth.analysis.summary_table import RoundResult, RoundSummary, algorithm_settings, summary_rows
from lth.analysis.training_operations import mean_training_operations
from lth.errors import LthError, quote
from lth.recipes.flat_settings import Setting, flat_settings
from lth.runs import sessions
from lth.runs.run_path import RunPath
from lth.runs.stored_run import StoredRun


class ComparedRun(NamedTuple):
    """A run with its rounds. `training` are the multiply-adds of the training of one seed, None if they are unknown,
    and `seconds` how long its sessions trained.
    """

    run: StoredRun
    label: str
    seeds: Sequence[int]
    rows: Sequence[RoundSummary]
    training: float | None
    seconds: float


class RoundDifference(NamedTuple):
    """A round of a run minus that of the first run, at the end and at the early stop: over the seeds that both have if
    `paired`, otherwise the difference of the means over the seeds of each.
    """

    paired: bool
    test_accuracy: Comparison
    early_stop: Comparison
    early_stop_accuracy: Comparison


class ComparedLevel(NamedTuple):
    """The rounds of one density, None for runs without one, and their differences to the first run."""

    density: float
    rounds: Sequence[RoundSummary | None]
    differences: Sequence[RoundDifference | None]


class SettingDifference(NamedTuple):
    """A setting that is not the same in all runs, and its value in each of them, None if a run does not have it."""

    name: str
    values: Sequence[Setting]


class RunComparison(NamedTuple):
    """Runs side by side. `notes` says what is missing."""

    runs: Sequence[ComparedRun]
    levels: Sequence[ComparedLevel]
    settings: Sequence[SettingDifference]
    notes: Sequence[str]


def compare_runs(paths: Sequence[RunPath]) -> RunComparison:
    """Compare the runs, or seeds of runs, at these paths with the first of them. LthError if there is only one, or if
    they were not tested on the same images.
    """

    _refuse_wrong_paths(paths)
    views = [view_run(path) for path in paths]
    _refuse_other_data([view.run for view in views])
    runs = [_compared_run(view, label) for view, label in zip(views, _labels(paths), strict=True)]
    notes = [f'{one.label}: {note}' for one, view in zip(runs, views, strict=True)
             for note in (*view.left_out, *view.unfinished)]
    return RunComparison(runs, _levels(list(map(_rows_to_compare, runs))), _setting_differences(runs), notes)


def _compared_run(view: RunView, label: str) -> ComparedRun:
    training = mean_training_operations(view.run, view.seeds)
    seconds = sessions.total_seconds(view.run.sessions)
    rows = summary_rows([view.run], view.seeds)
    return ComparedRun(view.run, label, view.seeds, rows, training.mean if training else None, seconds)


def _rows_to_compare(one: ComparedRun) -> Sequence[RoundSummary]:
    """The rounds with their densities; of a sparse training the last, as the others are parts of the same training."""

    return one.rows[-1:] if algorithm_settings(one.run).finds == 'sparse networks' else one.rows


def _refuse_wrong_paths(paths: Sequence[RunPath]) -> None:
    if len(paths) < 2:
        raise LthError('One run cannot be compared. Give two or more, such as a run and the one in RUN-controls.')
    for number, path in enumerate(paths):
        if path.round is not None:
            raise LthError(f'{path.folder}, seed {path.seed}, round {path.round} is a round, and runs are compared '
                           f'with all their rounds. Give {path.folder}.')
        if _place(path) in map(_place, paths[:number]):
            raise LthError(f'{path.folder} is given twice. Give each run once.')


def _refuse_other_data(runs: Sequence[StoredRun]) -> None:
    """LthError if the test accuracies of the runs cannot be compared."""

    names = [run.recipe['data']['name'] for run in runs]
    for run, name in zip(runs, names, strict=True):
        if name != names[0]:
            raise LthError(f'{run.folder} was tested on {quote(name)} and {runs[0].folder} on {quote(names[0])}, so '
                           'their accuracies cannot be compared. Give runs on the same data set.')


def _place(path: RunPath) -> tuple[Path, int | None]:
    return path.folder.resolve(), path.seed


def _labels(paths: Sequence[RunPath]) -> list[str]:
    """The name of each run's folder, or its path where two have the same name."""

    names = [path.folder.resolve().name for path in paths]
    labels = [str(path.folder) if names.count(name) > 1 else name for path, name in zip(paths, names, strict=True)]
    return [label if path.seed is None else f'{label}/seed-{path.seed}'
            for path, label in zip(paths, labels, strict=True)]


def _levels(tables: Sequence[Sequence[RoundSummary]]) -> list[ComparedLevel]:
    """All densities in descending order. A round belongs to the first level of nearly its density that lacks one."""

    levels: list[tuple[float, list[RoundSummary | None]]] = []
    for number, rows in enumerate(tables):
        for row in rows:
            places = [place for density, place in levels
                      if is_same_density(density, row.density) and place[number] is None]
            if not places:
                places = [[None] * len(tables)]
                levels.append((row.density, places[0]))
            places[0][number] = row
    levels.sort(key=lambda level: -level[0])
    return [ComparedLevel(density, place, [_difference(place[0], row) for row in place[1:]])
            for density, place in levels]


def _difference(first: RoundSummary | None, other: RoundSummary | None) -> RoundDifference | None:
    if first is None or other is None:
        return None
    mine, its = ({result.seed: result for result in row.results} for row in (other, first))
    common = sorted(mine.keys() & its.keys())

    def compare(value: Callable[[RoundResult], float]) -> Comparison:
        if common:
            return compare_paired([value(mine[seed]) for seed in common], [value(its[seed]) for seed in common])
        return compare_unpaired(list(map(value, mine.values())), list(map(value, its.values())))

    return RoundDifference(
        bool(common), compare(lambda result: result.test_accuracy), compare(lambda result: result.early_stop),
        compare(lambda result: result.early_stop_accuracy))


def _setting_differences(runs: Sequence[ComparedRun]) -> list[SettingDifference]:
    """The settings that are not the same in all runs, without `source`, which says where they come from."""

    settings = [flat_settings(one.run.recipe) for one in runs]
    names = dict.fromkeys(name for flat in settings for name in flat if name != 'source')
    rows = [SettingDifference(name, [flat.get(name) for flat in settings]) for name in names]
    return [row for row in rows if any(value != row.values[0] for value in row.values)]
