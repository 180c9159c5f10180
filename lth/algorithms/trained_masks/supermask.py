"""Supermasks (Zhou et al. 2019, "Deconstructing Lottery Tickets", section 5): masks that are drawn anew for every step,
with trained probabilities.
"""
import statistics
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from lth.algorithms.base import algorithm
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.base import Saved, Way
from lth.algorithms.trained_masks.parametrizations import Bernoulli, scales
from lth.pruning import masks
from lth.pruning.tickets import Round, dense_ticket
from lth.training.loop import accuracy, reestimate_batch_norm
from lth.training.task import State, Task

DRAWS = 10


class Settings(Saved):
    """With `rescale` the weights of a layer are multiplied by their number over the ones in its mask, at last too."""

    name: Literal['supermask']
    rescale: bool = False


@algorithm('supermask', Settings, kept=base.saved_counts, check=base.check_saved, trains='throughout', finds='gems',
           stochastic=True)
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Trained probabilities of masks drawn anew for every step; the most probable weights are kept (Zhou et al. 2019).
    """

    layout = task.network.layout
    counts = base.saved_counts(layout, settings, task.training, task.steps_per_epoch)

    def found(number: int, mask: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
        if number + 1 < len(counts):
            return mask, trained >= 0
        best = base.best(trained, mask, counts[-1], task, number, settings.keep)
        return best, best

    def dressed(mask: Tensor, weights: Tensor) -> Tensor:
        vector = masks.apply_mask(mask, weights)
        for name, factor in scales(layout, mask).items() if settings.rescale else ():
            slot = next(slot for slot in layout.prunable_slots if slot.name == name)
            vector[:, slot.start:slot.stop] *= factor
        return vector

    yield from base.searched(task, Way(
        ends=base.ends(settings.save_every, task.training, task.steps_per_epoch),
        start=torch.zeros(len(task.seeds), layout.prunable_count),
        parametrization=lambda _, weights: Bernoulli(weights, layout, task.seeds, settings.rescale),
        active=lambda _, last: last.ticket.mask, found=found, dressed=dressed, may_sink=True, as_saved=False,
        drawn=lambda learned: drawn_accuracy(task, settings, learned)), past)


def drawn_accuracy(task: Task, settings: Settings, learned: Tensor) -> tuple[float, ...]:
    """The mean test accuracy over masks drawn from scores (R, P), of each replicate, which is what the paper reports:
    the masks of the steps that would come next, each with BatchNorm's statistics of its own.
    """

    start = dense_ticket(task)
    drawing = Bernoulli(start.weights, task.network.layout, task.seeds, settings.rescale)
    found = [accuracy(task, reestimate_batch_norm(task, State(drawing.weights(learned, step), start.buffers, step)))
             for step in range(task.steps, task.steps + DRAWS)]
    return tuple(map(statistics.fmean, zip(*found, strict=True)))
