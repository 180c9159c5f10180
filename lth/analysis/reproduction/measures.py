"""Measurements of the networks that a claim is about: a value for each seed, in percent or iterations.

A new measure is a function here, an entry in `MEASURES`, and a name in `papers.MeasureName`.
"""
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lth.analysis.answers.levels import accuracies
from lth.analysis.answers.search import moment_of, search_answer
from lth.analysis.density_levels import round_at_level
from lth.analysis.pair_files import CopyPair, PairErrors
from lth.analysis.papers import MeasureName, Side
from lth.analysis.summary_table import RoundSummary, summary_rows, values_by_seed
from lth.experiments import folders
from lth.runs.stored_run import StoredRun


class Outcome(NamedTuple):
    """What a run of the grid left: its folder, its seeds, and the pairs of copies if it measured stability."""

    folder: Path
    seeds: Sequence[int]
    pairs: Sequence[tuple[CopyPair, PairErrors]] = ()


class NotMeasured(Exception):
    """A claim is about a network that this scale does not have; the text says why."""


Values = Mapping[int, float]


def measure(name: MeasureName, side: Side, outcomes: Mapping[str, Outcome]) -> Values:
    """The values of a network by seed. NotMeasured if there is no such network."""

    return MEASURES[name](side, outcome_of(side, outcomes))


def outcome_of(side: Side, outcomes: Mapping[str, Outcome]) -> Outcome:
    """What the run of a side left. NotMeasured if it failed."""

    if side.run not in outcomes:
        raise NotMeasured(f'the run {side.run} failed')
    return outcomes[side.run]


def _accuracy(side: Side, outcome: Outcome) -> Values:
    runs = _runs(side, outcome)
    row = _row(side, runs, outcome.seeds)
    return {seed: 100 * value for seed, value in accuracies(row, moment_of(runs[0])).items()}


def _early_stop(side: Side, outcome: Outcome) -> Values:
    row = _row(side, _runs(side, outcome), outcome.seeds)
    return values_by_seed(row.results, lambda result: result.early_stop)


def _accuracy_before_training(side: Side, outcome: Outcome) -> Values:
    """Of the ticket in its first measurement, before its first step."""

    runs = _runs(side, outcome)
    number = _row(side, runs, outcome.seeds).number
    values: dict[int, list[float]] = {}
    for run in runs:
        for seed in outcome.seeds:
            first = run.metrics(seed, number)[0]
            values.setdefault(seed, []).append(100 * first.test_accuracy)
    return {seed: math.fsum(drawn) / len(drawn) for seed, drawn in values.items()}


def _barrier(side: Side, outcome: Outcome) -> Values:
    """The mean error barrier of the pairs of a seed, of the round at this level and the first point of parting."""

    number = _row(side, _runs(side, outcome), outcome.seeds).number
    values: dict[int, list[float]] = {}
    for pair, errors in outcome.pairs:
        if pair.round == number:
            values.setdefault(pair.seed, []).append(100 * errors.barrier)
    if not values:
        raise NotMeasured('stability was not measured there')
    return {seed: math.fsum(barriers) / len(barriers) for seed, barriers in values.items()}


class MatchRange(NamedTuple):
    """Densities in percent: of the sparsest round that is shown to match the dense network, and of the sparsest one
    that is not shown to be worse.
    """

    shown: float
    possible: float


def match_range(side: Side, outcome: Outcome) -> MatchRange:
    """How far the tickets of a run match the dense network, a statement about all seeds. NotMeasured if none does."""

    found = search_answer(_runs(side, outcome)[0], outcome.seeds, {})
    if found is None or found.dense.n == 1:
        raise NotMeasured('it needs a dense round and two or more seeds')
    if found.sparsest is None:
        raise NotMeasured('no round is shown to match the dense network')
    possible = min(level.density for level in found.levels if level.verdict != 'worse')
    return MatchRange(100 * found.sparsest.density, 100 * possible)


MEASURES: dict[MeasureName, Callable[[Side, Outcome], Values]] = {
    'accuracy': _accuracy, 'accuracy-before-training': _accuracy_before_training, 'early-stop': _early_stop,
    'barrier': _barrier}


def _runs(side: Side, outcome: Outcome) -> list[StoredRun]:
    """The run of a side, or all draws of its control."""

    if side.check:
        return [StoredRun.open(outcome.folder / side.check)]
    if side.control is None:
        return [StoredRun.open(outcome.folder)]
    parent = folders.control_folder(outcome.folder, side.control).parent
    found = [parent / side.control, *sorted(parent.glob(f'{side.control}-[0-9]*'))]
    return [StoredRun.open(folder) for folder in found if (folder / 'recipe.yaml').exists()]


def _row(side: Side, runs: Sequence[StoredRun], seeds: Sequence[int]) -> RoundSummary:
    """The round of a side. NotMeasured if no round is near its level."""

    rows = summary_rows(runs, seeds) if runs else []
    if not rows:
        raise NotMeasured('there is no such run')
    if side.level == 'dense':
        return rows[0]
    if side.level == 'last':
        return rows[-1]
    if side.level == 'best':
        return max(rows[1:] or rows, key=lambda row: row.test_accuracy.mean)
    nearest = round_at_level(rows, side.level / 100)
    if nearest is None:
        raise NotMeasured(f'no round keeps about {side.level:g}% of the weights')
    return nearest
