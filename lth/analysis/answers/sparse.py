"""What a sparse training says: its accuracy at the end, and how far its mask moved."""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.answers import words
from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.summary_table import RecordedRun, RoundResult, algorithm_settings, summary_rows


class SparseAnswer(NamedTuple):
    """The last round that all seeds have: its density and its test accuracy at the end. Over all rounds up to it, as
    means over seeds: the number of events, the share of the active weights that an event changed, None without events,
    and the share of all weights that were ever active.
    """

    method: str
    number: int
    density: float
    accuracy: Interval
    events: Interval
    churn: Interval | None
    ever_active: Interval

    def sentences(self) -> list[str]:
        """The answer in words."""

        accuracy = f'{words.percent(self.accuracy)}, n = {self.accuracy.n}'
        first = f'{self.method}, {words.density(self.density)} of the weights: the final test accuracy is {accuracy}.'
        if self.churn is None:
            return [first, 'The mask did not move.']
        times = 'once' if self.events.mean == 1 else f'{self.events.mean:,.0f} times'
        return [first, f'The mask moved {times}. An event changed {words.percent(self.churn)} of the active weights, '
                       f'and {words.percent(self.ever_active)} of all weights were active at some time.']


def sparse_answer(run: RecordedRun, seeds: Sequence[int]) -> SparseAnswer | None:
    """The answer of a sparse training, about its last round that all seeds have; None before it has one."""

    rows = [row for row in summary_rows([run], seeds) if row.test_accuracy.n == len(seeds)]
    if not rows:
        return None
    last = rows[-1]
    moves = [_events_of_seed(run, result.seed, [row.number for row in rows]) for result in last.results]
    return SparseAnswer(
        algorithm_settings(run).short_name, last.source_number, last.density,
        confidence_interval([result.test_accuracy for result in last.results]),
        confidence_interval([events for events, _ in moves]), _known([churn for _, churn in moves]),
        confidence_interval([_ever_active(result) for result in last.results]))


def _events_of_seed(run: RecordedRun, seed: int, numbers: Sequence[int]) -> tuple[int, float | None]:
    """The number of events in these rounds of a seed, and the mean of their churn, None if there is none."""

    events, churn = 0, 0.
    for number in numbers:
        moves = run.record(seed, number).moves
        if moves and moves.churn is not None:
            events, churn = events + moves.events, churn + moves.events * moves.churn
    return events, churn / events if events else None


def _known(values: Sequence[float | None]) -> Interval | None:
    """The mean of the values, None if one of them is unknown."""

    known = [value for value in values if value is not None]
    return confidence_interval(known) if len(known) == len(values) else None


def _ever_active(result: RoundResult) -> float:
    return result.moves.ever_active if result.moves else result.density
