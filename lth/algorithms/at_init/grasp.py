"""GraSP (Wang et al. 2020, "Picking winning tickets before training by preserving gradient flow", section 4).

To take weight q away is a step -w_q e_q, which changes the squared norm of the gradient g by 2 S_q to first order, with
S = -w ⊙ (H g). Where S is negative, gradient flow would fall, so the paper removes the largest S and keeps
the smallest. Here, as everywhere, the higher score is kept: the score is -S = w ⊙ (H g).
"""
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.at_init import base
from lth.models.network import Buffers
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(base.Measured):
    """Logits are divided by `temperature` before the loss, by 200 in the paper's code. Its batches have equally many
    pictures of each class; here they are the training batches.
    """

    name: Literal['grasp']
    temperature: float = Field(200., gt=0)


@base.chooses('grasp', Settings, check=base.check_batches)
def chosen(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """The weights without which gradients would shrink most, w · (H g) (Wang et al. 2020)."""

    score = partial(scores, batches=settings.batches, temperature=settings.temperature)
    return base.ranked(task, settings, base.seed_by_seed(task, start, score))


def scores(task: Task, weights: Tensor, buffers: Buffers, *, batches: int = 1, temperature: float = 200.) -> Tensor:
    """w ⊙ (H g) of one network, g and H of the mean loss of its first batches by the prunable weights: (N,) -> (P,)."""

    layout = task.network.layout
    parameters, loss_at = base.losses_of(task, weights, buffers, batches=batches, temperature=temperature)
    direction = layout.unpack(base.mean_gradient(layout, parameters, loss_at, batches=batches)).values()
    product = torch.zeros_like(weights[:layout.prunable_count])
    for number in range(batches):
        slopes = torch.autograd.grad(loss_at(number), parameters, create_graph=True, materialize_grads=True)
        along = torch.stack([(slope * part).sum() for slope, part in zip(slopes, direction, strict=True)]).sum()
        product += base.packed(layout, torch.autograd.grad(along, parameters, materialize_grads=True)) / batches
    return weights[:layout.prunable_count] * product
