"""Early-bird tickets next to those that are drawn at the end of the same training: what do they lose, and save?"""
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from lth.analysis.answers import words
from lth.analysis.statistics import Comparison, compare_paired
from lth.experiments.early_bird_plans import EarlyBirdPlans, WatchedSource
from lth.experiments.folders import control_folder


class EarlyBirdRow(NamedTuple):
    """The tickets of one density: the round that trained them, their share of the weights, the iteration at which each
    seed drew its early one, the length of the training, and early - end, paired by seed.
    """

    round: int
    density: float
    iterations: Sequence[int]
    length: int
    comparison: Comparison

    def sentence(self) -> str:
        """The row in words."""

        when = f'{"on average " * (len(self.iterations) > 1)}at iteration {fmean(self.iterations):,.0f}'
        p_value = '' if self.comparison.p is None else f', {words.p_value(self.comparison.p)}'
        return (f'{words.density(self.density)} of the weights: drawn {when} of {self.length:,}, the ticket is '
                f'{words.compared(self.comparison, "drawn at the end")}{p_value}')


def early_bird_rows(source: WatchedSource, planned: EarlyBirdPlans, folder: Path) -> list[EarlyBirdRow]:
    """The trained early-bird tickets in `folder` next to their control, in every round."""

    early, rows = planned.early.run(folder), list[EarlyBirdRow]()
    end = planned.controls['end'].run(control_folder(folder, 'end'))
    for number, mask in enumerate(source.masks):
        accuracies = ([run.record(seed, number).test_accuracy for seed in source.seeds] for run in (early, end))
        density = sum(mask.counts) / source.plan.network.layout.prunable_count
        iterations = [iteration for iteration in mask.iterations if iteration is not None]
        rows.append(EarlyBirdRow(number, density, iterations, source.plan.steps, compare_paired(*accuracies)))
    return rows
