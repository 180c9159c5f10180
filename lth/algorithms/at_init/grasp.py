"""GraSP (Wang et al. 2020, "Picking winning tickets before training by preserving gradient flow", section 4).

Removing weight q is a step of -w_q e_q. To first order it changes the squared norm of the gradient g by 2 S_q, with
S = -w ⊙ (H g). Removing weights with negative S would reduce the gradient flow, so the paper removes the largest S.
In this package the higher score is kept, so the score is -S = w ⊙ (H g).
"""
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth.algorithms.at_init import base
from lth.algorithms.at_init.loss_gradients import batch_losses, mean_gradient, pack_prunable
from lth.algorithms.base import ALGORITHMS
from lth.models.network import Buffers
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(base.BatchSettings):
    """Logits are divided by `temperature` before the loss, by 200 in the paper's code. The paper's batches have equally
    many images of each class; here the training batches are used.
    """

    second_derivatives: ClassVar[bool] = True
    overflow: ClassVar[str] = 'logits that are divided by the temperature'
    overflow_remedy: ClassVar[str] = 'a larger algorithm.temperature'

    name: Literal['grasp']
    temperature: float = Field(200., gt=0, description='Logits are divided by it before the loss.')

    def mask_operations(self, dense: int, batch_size: int, _classes: int) -> int:
        """For each batch a gradient (3 passes); then a gradient (3 passes) and its derivative, which takes twice as
        many products as the gradient itself (6 passes).
        """

        return (3 + 3 + 6) * dense * batch_size * self.batches


@ALGORITHMS.register('grasp', settings=Settings)
@base.mask_at_init
def grasp(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """Keep the weights whose removal would reduce the gradient norm most, w · (H g) (Wang et al. 2020)."""

    score = partial(
        scores, batches=settings.batches, temperature=settings.temperature, statistics=settings.statistics)
    return base.score_mask(task, settings, start, score, settings.statistics)


def scores(
        task: Task, weights: Tensor, buffers: Buffers, *, batches: int = 1, temperature: float = 200.,
        statistics: base.Statistics = 'batch') -> Tensor:
    """w ⊙ (H g) of one network: (N,) -> (P,). g and H are the gradient and the Hessian of the mean loss of the first
    batches with respect to the prunable weights.
    """

    layout = task.network.layout
    parameters, loss = batch_losses(
        task, weights, buffers, batches=batches, temperature=temperature, statistics=statistics)
    direction = layout.unpack(mean_gradient(layout, parameters, loss, batches=batches)).values()
    product = torch.zeros_like(weights[:layout.prunable_count])
    for number in range(batches):
        with sdpa_kernel(SDPBackend.MATH):  # the only kernel of attention with second derivatives
            gradients = torch.autograd.grad(loss(number), parameters, create_graph=True, materialize_grads=True)
        slope = torch.stack([(part * along).sum() for part, along in zip(gradients, direction, strict=True)]).sum()
        product += pack_prunable(layout, torch.autograd.grad(slope, parameters, materialize_grads=True)) / batches
    return weights[:layout.prunable_count] * product
