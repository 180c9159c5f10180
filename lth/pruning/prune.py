"""Pruning of a trained network: a criterion selects the mask, actions set the weights.

Criteria and actions see one layer of one network at a time; the functions here apply them to all layers and replicates.
"""
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lth import rng
from lth.pruning import masks
from lth.pruning.criteria import Criterion, CriterionContext
from lth.pruning.mask_actions import LayerSurvivors, Mask0Action, Mask1Action
from lth.training.task import Task


@dataclass(frozen=True)
class TrainedRound:
    """The network from which round `number` is pruned: weights before and after training and at the rewind point, and
    the mask so far, (R, P) each.
    """

    initial: Tensor
    final: Tensor
    rewind_point: Tensor
    mask: Tensor
    number: int


def prune_mask(task: Task, trained: TrainedRound, criterion: Criterion, counts: Sequence[int]) -> Tensor:
    """The mask of the weights with the largest scores: (R, P). `counts` are the numbers of weights that the layers
    keep, or one number for all layers together.
    """

    number, scores = trained.number, list[Tensor]()
    bounds = task.network.layout.ranked_parts('global' if len(counts) == 1 else 'layer')
    for layer, ((start, stop), count) in enumerate(zip(bounds, counts, strict=True)):
        initial, final, mask = (rows[:, start:stop] for rows in (trained.initial, trained.final, trained.mask))
        contexts = [CriterionContext(count, rng.generator(seed, 'criterion', number, layer)) for seed in task.seeds]
        scores.append(torch.stack([_scores(criterion, *row) for row in zip(initial, final, mask, contexts)]))
    return masks.keep_best_per_part(
        torch.cat(scores, dim=1), trained.mask, bounds, counts, seeds=task.seeds, number=number)


def apply_mask_actions(
        task: Task, trained: TrainedRound, mask: Tensor, mask_1: Mask1Action, mask_0: Mask0Action) -> Tensor:
    """The prunable weights with which the round starts under this mask: (R, P). Weights that were pruned earlier do not
    change.
    """

    weights = trained.final.clone()
    for replicate in range(len(weights)):
        for part, layer in _layers(task, trained, mask, replicate):
            weights[replicate, part].masked_scatter_(trained.mask[replicate, part], mask_0(layer, mask_1(layer)))
    return weights


def _scores(criterion: Criterion, initial: Tensor, final: Tensor, mask: Tensor, context: CriterionContext) -> Tensor:
    """The scores of the remaining weights at their positions in the layer, 0 elsewhere."""

    scores = criterion(initial[mask], final[mask], context)
    return final.new_zeros(len(mask)).masked_scatter_(mask, scores)


def _layers(
        task: Task, trained: TrainedRound, mask: Tensor, replicate: int) -> Iterator[tuple[slice, LayerSurvivors]]:
    """The layers of one network, each with its part of the vector."""

    seed, number = task.seeds[replicate], trained.number
    initial = functools.cache(lambda: task.network.initial_weights(seed))
    # The text seeds random numbers and must stay as it is.
    reinitialized = functools.cache(lambda: task.network.initial_weights(rng.derive_seed(seed, 'drawn anew', number)))
    for index, slot in enumerate(task.network.layout.prunable_slots):
        part = slice(slot.start, slot.stop)
        remaining = trained.mask[replicate, part]
        yield part, LayerSurvivors(
            trained.rewind_point[replicate, part][remaining], trained.final[replicate, part][remaining],
            mask[replicate, part][remaining],
            reinitialized=functools.partial(_remaining_values, reinitialized, part, remaining),
            std=functools.partial(_standard_deviation, initial, part),
            random=rng.generator(seed, 'action', number, index))


def _remaining_values(vector: Callable[[], Tensor], part: slice, remaining: Tensor) -> Tensor:
    """The values of a layer's remaining weights in a vector (N,) that is computed when it is needed: (n,)."""

    return vector()[part].to(remaining.device)[remaining]


def _standard_deviation(vector: Callable[[], Tensor], part: slice) -> float:
    """The standard deviation of a layer around 0, the mean of every initializer that uses both signs."""

    return math.sqrt(float(vector()[part].square().mean()))
