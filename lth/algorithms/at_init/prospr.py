"""ProsPr (Alizadeh et al. 2022, "Prospect pruning: finding trainable weights at initialization using meta-gradients").

Each weight gets a factor c = 1. The network with the weights c ⊙ w is trained for a few steps of SGD, and the score of
a weight is |∂L/∂c|, where L is the loss after these steps: how much removing the weight would change it. The published
code does not differentiate the first step's gradient within the momentum; here all of it is differentiated.
"""
from functools import partial
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth.algorithms.at_init import base
from lth.algorithms.at_init.loss_gradients import batch_losses
from lth.algorithms.base import ALGORITHMS
from lth.models.network import Buffers
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(base.BatchSettings):
    """The network is trained for `steps` steps of SGD. These and the last loss use the batches in turn: with one batch,
    all of them use the same images, as in the published code; with steps + 1 batches, each uses others.
    """

    second_derivatives: ClassVar[bool] = True
    overflow: ClassVar[str] = 'the training steps of the algorithm'
    overflow_remedy: ClassVar[str] = 'a smaller algorithm.learning_rate or fewer algorithm.steps'

    name: Literal['prospr']
    steps: int = Field(3, ge=1, le=1000, description='Number of steps of SGD before the loss.')
    learning_rate: float = Field(0.5, gt=0, description='Learning rate of these steps.')
    momentum: float = Field(0.9, ge=0, lt=1, description='Momentum of these steps.')

    @model_validator(mode='after')
    def _check_batches(self) -> Self:
        if self.batches > self.steps + 1:
            raise ValueError(f'batches: {self.batches} are more than the {self.steps} steps and the last loss use: '
                             f'give at most {self.steps + 1}, or more steps')
        return self

    def mask_operations(self, dense: int, batch_size: int, _classes: int) -> int:
        """For each step a gradient (3 passes) and its derivative (6); the gradient of the last loss (3)."""

        return (9 * self.steps + 3) * dense * batch_size

    @property
    def mask_batches(self) -> int:
        """The features and their gradients of each step, and the features of the last loss."""

        return 2 * self.steps + 1


@ALGORITHMS.register('prospr', settings=Settings)
@base.mask_at_init
def prospr(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """Keep the weights whose removal would change the loss after a few training steps most (Alizadeh et al. 2022)."""

    return base.score_mask(task, settings, start, partial(scores, settings=settings), settings.statistics)


def scores(task: Task, weights: Tensor, buffers: Buffers, settings: Settings) -> Tensor:
    """|∂L/∂c| of one network, L being the loss after the training steps: (N,) -> (P,)."""

    layout = task.network.layout
    _, loss = batch_losses(
        task, weights, buffers, batches=settings.batches, statistics=settings.statistics)
    factors = torch.ones_like(weights[:layout.prunable_count], requires_grad=True)
    vector = torch.cat([weights[:layout.prunable_count] * factors, weights[layout.prunable_count:]])
    velocity = torch.zeros_like(weights)
    with sdpa_kernel(SDPBackend.MATH):  # the only kernel of attention with second derivatives
        for step in range(settings.steps):
            value = loss(step % settings.batches, _contiguous(task, vector))
            (gradient,) = torch.autograd.grad(value, vector, create_graph=True)
            velocity = settings.momentum * velocity + gradient
            vector = vector - settings.learning_rate * velocity
        value = loss(settings.steps % settings.batches, _contiguous(task, vector))
        (sensitivity,) = torch.autograd.grad(value, factors)
    return sensitivity.abs()


def _contiguous(task: Task, vector: Tensor) -> dict[str, Tensor]:
    """The parameters in a vector (N,) by name, contiguous as those of the module."""

    return {name: parameter.contiguous() for name, parameter in task.network.layout.unpack(vector).items()}
