"""Supermasks (Zhou et al. 2019, "Deconstructing Lottery Tickets", section 5): trained probabilities, from which a mask
is sampled in each training step.
"""
import statistics
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.parametrizations import Bernoulli, layer_scales
from lth.pruning import masks
from lth.pruning.tickets import Round, dense_ticket
from lth.training.loop import accuracy
from lth.training.state import State
from lth.training.task import Task


class Settings(base.PeriodicSettings):
    """With `rescale` the weights of a layer are multiplied by its size over the number of ones in its mask, also in the
    final mask.
    """

    stochastic: ClassVar[bool] = True
    sampled_masks: ClassVar[int] = 10

    name: Literal['supermask']
    rescale: bool = Field(
        False, description='Multiply the weights of a layer by its size over the number of ones in its mask.')

    @property
    def alters_weights(self) -> bool:
        return self.rescale

    def sampled_accuracy(self, task: Task, scores: Tensor) -> tuple[float, ...]:
        """Mean test accuracy over the masks that the next training steps would sample, each with BatchNorm statistics
        of its own, for each replicate. This is what the paper reports.
        """

        start = dense_ticket(task)
        bernoulli = Bernoulli(start.weights, task.network.layout, task.seeds, self.rescale)
        accuracies = []
        for step in range(task.steps, task.steps + self.sampled_masks):
            state = State(bernoulli.weights(scores, step), start.buffers, step)
            accuracies.append(accuracy(task, task.engine.reestimate_batch_norm(task, state)))
        return tuple(map(statistics.fmean, zip(*accuracies, strict=True)))


class _Search(base.MaskSearch[Settings]):
    """Scores are log-odds; at the end the most probable weights are kept."""

    trains_saved_network = False

    def __init__(self, task: Task, settings: Settings) -> None:
        super().__init__(task, settings)
        self.may_prune_all = True

    def initial_scores(self, _random: torch.Generator) -> Tensor:
        return torch.zeros(self.task.network.layout.prunable_count)

    def parametrization(self, start: base.RoundStart) -> Bernoulli:
        return Bernoulli(start.weights, self.task.network.layout, self.task.seeds, self.settings.rescale)

    def above_threshold(self, scores: Tensor) -> Tensor:
        return scores >= 0

    def masked_weights(self, mask: Tensor, weights: Tensor, _scores: Tensor) -> Tensor:
        vector, layout = masks.apply_mask(mask, weights), self.task.network.layout
        if self.settings.rescale:
            scales = layer_scales(layout, mask)
            for slot in layout.prunable_slots:
                vector[:, slot.start:slot.stop] *= scales[slot.name]
        return vector


@ALGORITHMS.register('supermask', settings=Settings)
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Train probabilities from which masks are sampled; keep the most probable weights (Zhou et al. 2019)."""

    yield from _Search(task, settings).rounds(past)
