"""What a search for gems says: the accuracy of the gem before any of its weights is trained, next to chance."""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.answers import words
from lth.analysis.statistics import Interval, confidence_interval, one_sided_bounds
from lth.analysis.summary_table import RecordedRun, summary_rows


class GemAnswer(NamedTuple):
    """The test accuracy of the last round's untrained subnetwork over seeds, the lower one-sided 95% bound of its mean,
    None for one seed, and the accuracy of a guess.
    """

    number: int
    density: float
    accuracy: Interval
    lower: float | None
    chance: float

    def sentences(self) -> list[str]:
        """The answer in words."""

        gem = f'the gem ({words.density(self.density)} of the weights)'
        accuracy = f'{words.percent(self.accuracy)}, n = {self.accuracy.n}'
        chance = f'chance is {words.percent(Interval(self.chance, None, 1))}'
        if self.lower is None:
            verdict = 'A single seed has no confidence interval: add two or more seeds'
        elif self.lower > self.chance:
            verdict = 'It is better than chance with 95% confidence'
        else:
            verdict = 'It is not shown to be better than chance'
        return [f'Before any weight is trained, {gem} has a test accuracy of {accuracy}; {chance}. {verdict}.']


def gem_answer(run: RecordedRun, seeds: Sequence[int]) -> GemAnswer | None:
    """The answer of a search for gems, about its last round that all seeds have; None before it has one."""

    rows = [row for row in summary_rows([run], seeds) if row.test_accuracy.n == len(seeds)]
    if not rows:
        return None
    last = rows[-1]
    accuracies = [result.test_accuracy for result in last.results]
    classes = run.record(last.results[0].seed, last.number).classes
    return GemAnswer(last.source_number, last.density, confidence_interval(accuracies),
                     one_sided_bounds(accuracies).lower, 1 / classes)
