"""SNIP (Lee et al. 2019, "SNIP: Single-shot network pruning based on connection sensitivity", section 4.1).

The score of a weight is the first-order estimate of how much the loss would change if it were removed: |w · ∂L/∂w|.
"""
from functools import partial
from typing import Literal

from torch import Tensor

from lth.algorithms.at_init import base
from lth.algorithms.at_init.loss_gradients import batch_losses, mean_gradient
from lth.algorithms.base import ALGORITHMS
from lth.models.network import Buffers
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(base.BatchSettings):
    """Gradients are averaged over the batches before the absolute value is taken."""

    name: Literal['snip']

    def mask_operations(self, dense: int, batch_size: int, _classes: int) -> int:
        """A forward and a backward pass for each batch."""

        return 3 * dense * batch_size * self.batches


@ALGORITHMS.register('snip', settings=Settings)
@base.mask_at_init
def snip(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """Keep the weights whose removal would change the loss most, |w · ∂L/∂w| on one batch (Lee et al. 2019)."""

    score = partial(scores, batches=settings.batches, statistics=settings.statistics)
    return base.score_mask(task, settings, start, score, settings.statistics)


def scores(
        task: Task, weights: Tensor, buffers: Buffers, *, batches: int = 1,
        statistics: base.Statistics = 'batch') -> Tensor:
    """|w · ∂L/∂w| of one network, L being the mean loss of its first batches: (N,) -> (P,)."""

    layout = task.network.layout
    parameters, loss = batch_losses(task, weights, buffers, batches=batches, statistics=statistics)
    return (weights[:layout.prunable_count] * mean_gradient(layout, parameters, loss, batches=batches)).abs()
