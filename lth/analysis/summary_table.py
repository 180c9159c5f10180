"""The table of a run, or of several draws of one: a row per round, means and intervals over seeds."""
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lth.analysis.statistics import Interval, confidence_interval
from lth.pruning.effective_sparsity import ConnectedTotals
from lth.runs.folder import Run
from lth.training.engines.names import current_engine_name


class RoundResult(NamedTuple):
    """One round of one seed, and of which draw: its end, and its early stop: the iteration of least validation loss,
    found afterwards; which engine trained it, and what of it carries anything, if that is known; the mean test accuracy
    of masks drawn from its scores, if such were drawn.
    """

    seed: int
    kept: int
    density: float
    test_accuracy: float
    early_stop: int
    early_stop_accuracy: float
    engine: str = ''
    carrying: ConnectedTotals | None = None
    draw: int = 1
    drawn_test_accuracy: float | None = None


class RoundSummary(NamedTuple):
    """One round over seeds; accuracies are shares in [0, 1]."""

    number: int
    kept: int
    density: float
    test_accuracy: Interval
    early_stop: Interval
    early_stop_accuracy: Interval
    outcomes: list[RoundResult]


def round_result(run: Run, seed: int, number: int, draw: int = 1) -> RoundResult:
    """What one round of one seed came to."""

    header, rows = run.header(seed, number), run.metrics(seed, number)
    last, stop = rows[-1], next(row for row in rows if row['early_stop'])
    carries = header.get('carrying')
    return RoundResult(seed, header['kept'], header['density'], last['test_accuracy'], stop['iteration'],
                   stop['test_accuracy'], current_engine_name(header.get('engine', '')), ConnectedTotals(**carries) if carries else None, draw,
                   header.get('drawn_test_accuracy'))


def summary_rows(draws: Sequence[Run], seeds: Sequence[int]) -> list[RoundSummary]:
    """A row for every round that at least one of these seeds has. Networks of one seed are not independent, so each
    seed counts once: by its mean over the draws.
    """

    rows = []
    for number in range(max((run.round_count(seed) for run in draws for seed in seeds), default=0)):
        found = [round_result(run, seed, number, draw) for draw, run in enumerate(draws, 1) for seed in seeds
                 if number < run.round_count(seed)]
        rows.append(RoundSummary(
            number, found[0].kept, found[0].density, _over_seeds(found, lambda one: one.test_accuracy),
            _over_seeds(found, lambda one: one.early_stop), _over_seeds(found, lambda one: one.early_stop_accuracy),
            found))
    return rows


def _over_seeds(found: Sequence[RoundResult], value: Callable[[RoundResult], float]) -> Interval:
    """The mean of a value over seeds, with the interval that these allow."""

    alike: dict[int, list[float]] = {}
    for one in found:
        alike.setdefault(one.seed, []).append(value(one))
    return confidence_interval([math.fsum(values) / len(values) for values in alike.values()])
