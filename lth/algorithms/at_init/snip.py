"""SNIP (Lee et al. 2019, "SNIP: Single-shot network pruning based on connection sensitivity", section 4.1).

A weight counts as much as the loss would change, to first order, if it were taken away: |w · ∂L/∂w|.
"""
from functools import partial
from typing import Literal

from torch import Tensor

from lth.algorithms.at_init import base
from lth.models.network import Buffers
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(base.Measured):
    """Batches are averaged before the absolute value is taken."""

    name: Literal['snip']


@base.chooses('snip', Settings, check=base.check_batches)
def chosen(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """The weights without which the loss would change most, |w · ∂L/∂w| on one batch (Lee et al. 2019)."""

    score = partial(scores, batches=settings.batches)
    return base.ranked(task, settings, base.seed_by_seed(task, start, score))


def scores(task: Task, weights: Tensor, buffers: Buffers, *, batches: int = 1) -> Tensor:
    """|w · ∂L/∂w| of one network, L the mean loss of its first batches: (N,) -> (P,)."""

    layout = task.network.layout
    parameters, loss_at = base.losses_of(task, weights, buffers, batches=batches)
    return (weights[:layout.prunable_count] * base.mean_gradient(layout, parameters, loss_at, batches=batches)).abs()
