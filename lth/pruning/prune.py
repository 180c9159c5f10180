"""A prune in two parts: the mask that a criterion cuts, and the weights that actions make of it.

Criteria and actions see one layer of one network at a time; here they are called for all.
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
    """What round `number` is pruned from, (R, P) each: weights as training set out with them, as it left them and at
    the rewind point; and which survive so far.
    """

    initial: Tensor
    final: Tensor
    rewind_point: Tensor
    alive: Tensor
    number: int


def prune_mask(task: Task, trained: TrainedRound, criterion: Criterion, counts: Sequence[int]) -> Tensor:
    """The mask, (R, P), the best scores first; one count for each layer, or one for all together."""

    slots, number = task.network.layout.prunable_slots, trained.number
    bounds = [(0, slots[-1].stop)] if len(counts) == 1 else [(slot.start, slot.stop) for slot in slots]
    scores = []
    for layer, ((start, stop), count) in enumerate(zip(bounds, counts, strict=True)):
        initial, final, alive = (rows[:, start:stop] for rows in (trained.initial, trained.final, trained.alive))
        choices = [CriterionContext(count, rng.generator(seed, 'criterion', number, layer)) for seed in task.seeds]
        scores.append(torch.stack([_scores(criterion, *row) for row in zip(initial, final, alive, choices)]))
    return masks.keep_best_per_part(
        torch.cat(scores, dim=1), trained.alive, bounds, counts, seeds=task.seeds, number=number)


def _scores(criterion: Criterion, initial: Tensor, final: Tensor, alive: Tensor, choice: CriterionContext) -> Tensor:
    """The survivors' scores, each in its place in the layer."""

    scores = criterion(initial[alive], final[alive], choice)
    return final.new_zeros(len(alive)).masked_scatter_(alive, scores)


def apply_mask_actions(task: Task, trained: TrainedRound, mask: Tensor, mask_1: Mask1Action, mask_0: Mask0Action) -> Tensor:
    """The prunable weights from which the round starts under this mask, (R, P); what was pruned earlier stays as it is.
    """

    weights = trained.final.clone()
    for replicate in range(len(weights)):
        for place, change in _layer_survivors(task, trained, mask, replicate):
            weights[replicate, place].masked_scatter_(
                trained.alive[replicate, place], mask_0(change, mask_1(change)))
    return weights


def _layer_survivors(task: Task, trained: TrainedRound, mask: Tensor, replicate: int) -> Iterator[tuple[slice, LayerSurvivors]]:
    """The layers of one network, and where each lies."""

    seed, number = task.seeds[replicate], trained.number
    first = functools.cache(lambda: task.network.initial_weights(seed))
    anew = functools.cache(lambda: task.network.initial_weights(rng.derive_seed(seed, 'drawn anew', number)))
    for layer, slot in enumerate(task.network.layout.prunable_slots):
        place = slice(slot.start, slot.stop)
        here = trained.alive[replicate, place]
        yield place, LayerSurvivors(
            trained.rewind_point[replicate, place][here], trained.final[replicate, place][here],
            mask[replicate, place][here], reinitialized=functools.partial(_at, anew, place, here),
            std=functools.partial(_deviation, first, place),
            random=rng.generator(seed, 'action', number, layer))


def _at(vector: Callable[[], Tensor], place: slice, survivors: Tensor) -> Tensor:
    """A layer's survivors in a vector (N,) that is made when it is asked for: (n,)."""

    return vector()[place].to(survivors.device)[survivors]


def _deviation(vector: Callable[[], Tensor], place: slice) -> float:
    """The standard deviation of a layer about 0, which is the mean of all initializers that draw signs."""

    return math.sqrt(float(vector()[place].square().mean()))
