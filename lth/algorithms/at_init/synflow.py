"""SynFlow (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow").

R is the sum of the logits for a picture of ones when every weight is replaced by its absolute value. Each weight's
score is its share of that flow, w · ∂R/∂w. In many rounds (algorithm 1) the smallest go, so that no layer runs dry.
"""
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.at_init import base
from lth.models.network import Buffers
from lth.pruning import masks
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(base.Ranked):
    """`iterations` are the rounds of scoring and cutting."""

    name: Literal['synflow']
    iterations: int = Field(100, ge=1)


@base.chooses('synflow', Settings)
def chosen(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """The weights through which most of the signal flows, found without data in 100 rounds (Tanaka et al. 2020)."""

    mask = start.mask
    for number, count in enumerate(counts(task.network.layout.prunable_count, settings)):
        left = Ticket(mask, masks.apply_mask(mask, start.weights), start.buffers, 0)
        mask = base.cut(task, settings, base.seed_by_seed(task, left, scores), mask, count, salt=number)
    return mask


def counts(prunable: int, settings: Settings) -> list[int]:
    """The weights kept after each round k of n: P · density^(k/n), the last exactly ⌊density · P⌋."""

    last, rounds = masks.floor_share(prunable, settings.density), settings.iterations
    between = [int(prunable * settings.density ** (number / rounds)) for number in range(1, rounds)]
    return [*(max(last, count) for count in between), last]


def scores(task: Task, weights: Tensor, buffers: Buffers) -> Tensor:
    """|w| · ∂R/∂|w| of one network in evaluation mode, in double precision: (N,) -> (P,)."""

    layout, absolute = task.network.layout, weights.double().abs()
    double = {name: buffer.double() if buffer.is_floating_point() else buffer for name, buffer in buffers.items()}
    module = task.network.bind(absolute, double).eval()
    parameters = base.prunable(layout, module)
    flow = module(torch.ones(1, *task.network.shape, dtype=absolute.dtype, device=absolute.device)).sum()
    gradient = base.packed(layout, torch.autograd.grad(flow, parameters, materialize_grads=True))
    return absolute[:layout.prunable_count] * gradient
