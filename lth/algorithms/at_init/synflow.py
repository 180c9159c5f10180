"""SynFlow (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow").

R is the sum of the logits of an image of ones when each weight is replaced by its absolute value. The score of a weight
is its part of this flow, w · ∂R/∂w. The weights with the smallest scores are removed in many small iterations, with new
scores in each (algorithm 1), so that no layer becomes empty.
"""
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.at_init import base
from lth.algorithms.at_init.loss_gradients import pack_prunable, prunable_parameters
from lth.algorithms.base import ALGORITHMS
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers
from lth.pruning import masks
from lth.pruning.tickets import Ticket
from lth.recipes.schema import TrainingSettings
from lth.training.task import Task


class Settings(base.ScoreSettings):
    """`iterations` is the number of times that scores are computed and weights removed.

    `counts: published` keeps as many weights as the published code: P − ⌊(1 − density^(k/n)) · P⌋ after iteration k of
    n, one more than `exact` in almost all iterations. With `statistics: warm` the running statistics of BatchNorm are
    those of training images, so that the scores depend on data.
    """

    uses_data: ClassVar[bool] = False
    homogeneous: ClassVar[bool] = True

    name: Literal['synflow']
    iterations: int = Field(100, ge=1, description='How often scores are computed and weights removed.')
    counts: Literal['exact', 'published'] = Field(
        'exact', description='Keep the exact number after each iteration, or as many as the published code.')
    statistics: Literal['warm', 'initial'] = Field(
        'initial', description="BatchNorm's statistics while scores are computed: see docs/gems.md.")

    @property
    def depends_on_data(self) -> bool:
        return self.statistics == 'warm'

    def kept_counts(self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        """The count after the last iteration, for the only round; an LthError if a layer would be empty."""

        exact = super().kept_counts(layout, training, steps_per_epoch)
        return self.iteration_counts(layout.prunable_count)[-1:] if self.counts == 'published' else exact

    def mask_operations(self, dense: int, _batch_size: int, _classes: int) -> int:
        """A forward and a backward pass of one image in each iteration; pruned weights are multiplied as zeros."""

        return 3 * dense * self.iterations

    def iteration_counts(self, prunable: int) -> list[int]:
        """Number of weights kept after each iteration k of n: P · density^(k/n), finally exactly ⌊density · P⌋."""

        if self.counts == 'published':
            densities = [self.density ** (number / self.iterations) for number in range(1, self.iterations + 1)]
            return [prunable - int((1 - density) * prunable) for density in densities]
        last = masks.floor_share(prunable, self.density)
        counts = [int(prunable * self.density ** (number / self.iterations)) for number in range(1, self.iterations)]
        return [*(max(last, count) for count in counts), last]


@ALGORITHMS.register('synflow', settings=Settings)
@base.mask_at_init
def synflow(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """Keep the weights that transmit most of the signal, selected without data in 100 iterations (Tanaka et al. 2020).
    """

    mask, start = start.mask, base.with_statistics(task, start, settings.statistics)
    for number, count in enumerate(settings.iteration_counts(task.network.layout.prunable_count)):
        remaining = Ticket(mask, masks.apply_mask(mask, start.weights), start.buffers, 0)
        flow = base.scores_per_seed(task, remaining, scores)
        mask = base.prune_by_score(task, settings, flow, mask, count, salt=number)
    return mask


def scores(task: Task, weights: Tensor, buffers: Buffers) -> Tensor:
    """|w| · ∂R/∂|w| of one network in evaluation mode, in double precision: (N,) -> (P,)."""

    layout, absolute = task.network.layout, weights.double().abs()
    double = {name: buffer.double() if buffer.is_floating_point() else buffer for name, buffer in buffers.items()}
    module = task.network.bind(absolute, double).eval()
    parameters = prunable_parameters(layout, module)
    flow = module(torch.ones(1, *task.network.shape, dtype=absolute.dtype, device=absolute.device)).sum()
    gradient = pack_prunable(layout, torch.autograd.grad(flow, parameters, materialize_grads=True))
    return absolute[:layout.prunable_count] * gradient
