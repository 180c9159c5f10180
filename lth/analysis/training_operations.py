"""Multiply-adds of the training of a run.

A training step takes three times the products of a forward pass for each image of its batch: one forward pass with the
kept weights, and a backward pass for the gradients of features and of weights, as in the count of Evci et al. 2020
(RigL). What an algorithm computes otherwise, and for its masks, its Settings class declares (`step_operations`,
`mask_operations`). Measurements, the estimation of BatchNorm's statistics, sorting and the optimizer are not counted.

5 steps of the dense LeNet-300-100 with batches of 60 images of 28 × 28 take 3 · 266,200 · 60 · 5 = 239,580,000.
"""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.operation_counts import Operations, round_operations
from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.summary_table import RecordedRun, algorithm_settings
from lth.recipes.schema import AlgorithmSettings


class RoundOperations(NamedTuple):
    """Multiply-adds of the training of one seed in a round that trains `steps` steps of `per_step` each, when `before`
    were needed for the rounds before it and for masks. `network` has those of its network for an image.
    """

    network: Operations
    before: int
    per_step: int
    steps: int

    @property
    def after(self) -> int:
        """The multiply-adds at the end of the round."""

        return self.before + self.per_step * self.steps


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

    rounds = rounds_operations(run, seed)
    return TrainingOperations(
        tuple(one.after - one.before for one in rounds), rounds[0].before) if rounds else None


def rounds_operations(run: RecordedRun, seed: int) -> list[RoundOperations]:
    """The multiply-adds of each round of one seed so far; [] if they are unknown for one of its rounds."""

    settings, batch_size = algorithm_settings(run), run.recipe['training']['batch_size']
    if type(settings) is AlgorithmSettings:  # pylint: disable=unidiomatic-typecheck # of a plug-in that is missing
        return []
    rounds: list[RoundOperations] = []
    for number in range(run.round_count(seed)):
        record = run.record(seed, number)
        network = round_operations(record)
        if network is None or record.steps is None:
            return []
        before = rounds[-1].after if rounds else settings.mask_operations(network.dense, batch_size, record.classes)
        per_step = settings.step_operations(network.dense, network.surviving) * batch_size
        is_copy = number == 0 and settings.copies_dense_round
        rounds.append(RoundOperations(network, before, 0 if is_copy else per_step, record.steps))
    return rounds


def mean_training_operations(run: RecordedRun, seeds: Sequence[int]) -> Interval | None:
    """The multiply-adds of the training of one seed, as a mean over these seeds; None if they are unknown."""

    counted = [training_operations(run, seed) for seed in seeds if run.round_count(seed)]
    totals = [float(operations.total) for operations in counted if operations]
    return confidence_interval(totals) if totals and len(totals) == len(counted) else None
