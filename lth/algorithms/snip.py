"""SNIP (Lee et al. 2019, "SNIP: Single-shot network pruning based on connection sensitivity", section 4.1).

A weight counts as much as the loss would change, to first order, if it were taken away: |w · ∂L/∂w|.
"""
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

from torch import Tensor

from lth.algorithms import at_init
from lth.algorithms.algorithm import algorithm
from lth.network import Buffers
from lth.task import Task
from lth.tickets import Round, fresh


class Settings(at_init.Measured):
    """Batches are averaged before the absolute value is taken."""

    name: Literal['snip']


@algorithm('snip', Settings, kept=at_init.kept, check=at_init.check_batches, trains='never', finds='gems')
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """The weights without which the loss would change most, |w · ∂L/∂w| on one batch (Lee et al. 2019)."""

    if not past:
        start = fresh(task)
        found = at_init.seed_by_seed(task, start, partial(scores, batches=settings.batches))
        yield at_init.gem(task, settings, start, at_init.ranked(task, settings, found))


def scores(task: Task, weights: Tensor, buffers: Buffers, *, batches: int = 1) -> Tensor:
    """|w · ∂L/∂w| of one network, L the mean loss of its first batches: (N,) -> (P,)."""

    layout = task.network.layout
    parameters, loss_at = at_init.losses_of(task, weights, buffers, batches=batches)
    return (weights[:layout.prunable] * at_init.mean_gradient(layout, parameters, loss_at, batches=batches)).abs()
