"""Multiply-adds of the training of a run.

A training step takes three times the products of a forward pass for each image of its batch: one forward pass with the
kept weights, and a backward pass for the gradients of features and of weights, as in the count of Evci et al. 2020
(RigL). What an algorithm computes otherwise, and for its masks, its Settings class declares (`step_operations`,
`mask_operations`). Measurements, sorting and the optimizer are not counted.

5 steps of the dense LeNet-300-100 with batches of 60 images of 28 × 28 take 3 · 266,200 · 60 · 5 = 239,580,000.
"""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.operation_counts import round_operations
from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.summary_table import RecordedRun, algorithm_settings
from lth.recipes.schema import AlgorithmSettings


class TrainingOperations(NamedTuple):
    """Multiply-adds of the training of one seed: in each round that the run trained, and of the passes that selected
    its masks.
    """

    rounds: tuple[int, ...]
    masks: int

    @property
    def total(self) -> int:
        """The multiply-adds of the whole training."""

        return sum(self.rounds) + self.masks


def training_operations(run: RecordedRun, seed: int) -> TrainingOperations | None:
    """The multiply-adds of the training of one seed so far; None if they are unknown for one of its rounds."""

    settings, batch_size = algorithm_settings(run), run.recipe['training']['batch_size']
    if type(settings) is AlgorithmSettings:  # pylint: disable=unidiomatic-typecheck # of a plug-in that is missing
        return None
    rounds, dense = [], 0
    for number in range(run.round_count(seed)):
        record = run.record(seed, number)
        operations = round_operations(record)
        if operations is None or record.steps is None:
            return None
        is_copy = number == 0 and settings.copies_dense_round
        steps, dense = 0 if is_copy else record.steps, operations.dense
        rounds.append(settings.step_operations(operations.dense, operations.surviving) * batch_size * steps)
    return TrainingOperations(tuple(rounds), settings.mask_operations(dense, batch_size)) if rounds else None


def mean_training_operations(run: RecordedRun, seeds: Sequence[int]) -> Interval | None:
    """The multiply-adds of the training of one seed, as a mean over these seeds; None if they are unknown."""

    counted = [training_operations(run, seed) for seed in seeds if run.round_count(seed)]
    totals = [float(operations.total) for operations in counted if operations]
    return confidence_interval(totals) if totals and len(totals) == len(counted) else None
