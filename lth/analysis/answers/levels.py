"""Rounds compared with the dense network of the same run, paired by seed."""
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from lth.analysis.statistics import Interval, confidence_interval, one_sided_bounds
from lth.analysis.summary_table import RoundResult, RoundSummary, values_by_seed
from lth.runs.round_record import RoundRecord

# When accuracy is read. At the early stop: at the iteration of least validation loss.
Moment = Literal['early stop', 'end']
LevelVerdict = Literal['matching', 'worse', 'undecided']
# Share of the images by which a matching ticket may be worse (Frankle et al. 2020, section 3.3: 0.2 points).
MARGIN = 0.002


class PairedDifference(NamedTuple):
    """Mean difference of two networks over the seeds that both have, with the one-sided 95% bounds of the mean."""

    difference: Interval
    lower: float | None
    upper: float | None


class Level(NamedTuple):
    """A round and how it compares with the dense network; accuracies are shares in [0, 1]. `number` is the number that
    tables show. `early_stops` and `dense_early_stops` are the iterations of least validation loss over the same seeds.
    """

    number: int
    kept: int
    density: float
    accuracy: Interval
    dense: Interval
    paired: PairedDifference
    verdict: LevelVerdict
    early_stops: Interval
    dense_early_stops: Interval


def compare_levels(rows: Sequence[RoundSummary], moment: Moment, margin: float = MARGIN) -> list[Level]:
    """All rounds after the first, which is the dense network, without those that share no seed with it."""

    dense, *others = rows
    compared = (_level(row, dense, moment, margin) for row in others)
    return [level for level in compared if level is not None]


def accuracies(row: RoundSummary, moment: Moment) -> dict[int, float]:
    """The test accuracy of each seed at this moment."""

    return values_by_seed(row.results, _early_stop_accuracy if moment == 'early stop' else _end_accuracy)


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> PairedDifference | None:
    """The difference `first` - `second` over the seeds that both have, None if there are none."""

    differences = [value - second[seed] for seed, value in first.items() if seed in second]
    if not differences:
        return None
    return PairedDifference(confidence_interval(differences), *one_sided_bounds(differences))


def is_dense(record: RoundRecord) -> bool:
    """Whether a round keeps every weight that can be pruned."""

    return record.kept == record.prunable


def level_verdict(paired: PairedDifference, margin: float) -> LevelVerdict:
    """`matching` if the difference is above -margin with 95% confidence, `worse` if it is below with 95% confidence."""

    if paired.lower is not None and paired.lower > -margin:
        return 'matching'
    if paired.upper is not None and paired.upper < -margin:
        return 'worse'
    return 'undecided'


def _level(row: RoundSummary, dense: RoundSummary, moment: Moment, margin: float) -> Level | None:
    ticket_accuracies, dense_accuracies = accuracies(row, moment), accuracies(dense, moment)
    paired = paired_difference(ticket_accuracies, dense_accuracies)
    if paired is None:
        return None
    shared = [seed for seed in ticket_accuracies if seed in dense_accuracies]
    stops, dense_stops = (values_by_seed(one.results, _early_stop) for one in (row, dense))

    def mean(values: Mapping[int, float]) -> Interval:
        return confidence_interval([values[seed] for seed in shared])
    return Level(row.source_number, row.kept, row.density, mean(ticket_accuracies), mean(dense_accuracies), paired,
                 level_verdict(paired, margin), mean(stops), mean(dense_stops))


def _early_stop_accuracy(result: RoundResult) -> float:
    return result.early_stop_accuracy


def _end_accuracy(result: RoundResult) -> float:
    return result.test_accuracy


def _early_stop(result: RoundResult) -> float:
    return result.early_stop
