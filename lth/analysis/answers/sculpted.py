"""What SCULPT says: the accuracy of a denser ticket after its cycles, and after one pruning and one more cycle."""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.answers import words
from lth.analysis.statistics import Interval, compare_paired, confidence_interval
from lth.analysis.summary_table import RecordedRun, summary_rows


class SculptedAnswer(NamedTuple):
    """Densities and test accuracies at the end of the cycles, and after the pruning and its cycle; the change of the
    accuracy, paired by seed.
    """

    density: float
    accuracy: Interval
    pruned_density: float
    pruned_accuracy: Interval
    change: Interval

    def sentences(self) -> list[str]:
        """The answer in words."""

        return [f'At the end of the cycles, with {words.density(self.density)} of the weights: '
                f'{words.percent(self.accuracy)}. After one pruning and one more cycle, with '
                f'{words.density(self.pruned_density)}: {words.percent(self.pruned_accuracy)}, '
                f'n = {self.pruned_accuracy.n}: {words.points(self.change)}.']


def sculpted_answer(run: RecordedRun, seeds: Sequence[int]) -> SculptedAnswer | None:
    """The answer over the seeds that have both rounds; None if no seed has them."""

    rows = summary_rows([run], seeds)
    if len(rows) < 2:
        return None
    cycles, pruned = ({result.seed: result.test_accuracy for result in row.results} for row in rows)
    both = [seed for seed in cycles if seed in pruned]
    before, after = [cycles[seed] for seed in both], [pruned[seed] for seed in both]
    return SculptedAnswer(
        rows[0].density, confidence_interval(before), rows[1].density, confidence_interval(after),
        compare_paired(after, before).difference)
