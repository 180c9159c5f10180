"""What a captured step is made of: which pass computes the gradients of a task's network, and which optimizer steps.

To add a pass, write a function that makes a `Backward`, and a case here.
"""
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from lth.training.engines.backward import Backward
from lth.training.engines.chains import DenseLayer, supported_dense_chain
from lth.training.engines.cuda.batched_mlp import make_batched_backward, make_compiled_products, run_batch
from lth.training.engines.cuda.branches import Result, aligned_rows, forward, make_branches
from lth.training.engines.cuda.compilation import compiled
from lth.training.engines.cuda.fused_optimizer import can_fuse, make_fused_optimizer
from lth.training.engines.cuda.stacked_pass import make_stacked_pass, stacked_forward
from lth.training.engines.names import ReplicateChoice
from lth.training.engines.optimizers import make_optimizer
from lth.training.engines.step import BackwardFactory, StepParts
from lth.training.task import Task


class _PassKind(NamedTuple):
    """A pass of several replicates, and its function that can be compiled."""

    make: Callable[..., Backward]
    forward: Callable[..., Result]


_PASSES: dict[ReplicateChoice, _PassKind] = {
    'branches': _PassKind(make_branches, forward), 'stacked': _PassKind(make_stacked_pass, stacked_forward)}


def step_parts(task: Task, replicates: ReplicateChoice = 'branches') -> StepParts:
    """The parts of a step that is not compiled. `replicates` says how those of convolutional networks train."""

    optimizer = make_fused_optimizer if can_fuse(task.engine.device) else make_optimizer
    if layers := dense_layers(task):
        return StepParts(_products(layers), optimizer)
    if len(task.seeds) > 1 and task.network.stackable:
        return StepParts(optimizer=optimizer)
    make = _select_pass(task, replicates).make
    return StepParts(partial(make, low_precision=_low_precision(task)), optimizer, aligned_rows)


def compiled_parts(task: Task, replicates: ReplicateChoice = 'branches') -> StepParts:
    """The parts of a step whose pass is compiled when it runs first."""

    layers, fuses = dense_layers(task), can_fuse(task.engine.device)
    if layers and fuses:
        return StepParts(_compiled_products(layers), make_fused_optimizer, compiles=True)
    make, run_forward = _select_pass(task, replicates)
    backward = partial(make, run_forward=compiled(run_forward), low_precision=_low_precision(task))
    return StepParts(backward, make_fused_optimizer if fuses else make_optimizer, aligned_rows, compiles=True)


def dense_layers(task: Task) -> list[DenseLayer] | None:
    """The layers of a network of dense layers only; None for others, and for bf16, which needs autocast."""

    return None if task.training.precision == 'bf16' else supported_dense_chain(task.network)


def _select_pass(task: Task, replicates: ReplicateChoice) -> _PassKind:
    """The pass of a network that is not only dense layers. One replicate alone needs no stack."""

    stacks = replicates == 'stacked' and len(task.seeds) > 1 and can_fuse(task.engine.device)
    return _PASSES['stacked' if stacks else 'branches']


def _products(layers: list[DenseLayer]) -> BackwardFactory:
    return lambda _network, weights, _buffers, batches: make_batched_backward(layers, weights, batches)


def _compiled_products(layers: list[DenseLayer]) -> BackwardFactory:
    return lambda _network, weights, _buffers, batches: make_compiled_products(
        layers, weights, batches, compiled(run_batch))


def _low_precision(task: Task) -> torch.dtype | None:
    """The type of the copy of the weights that layers read. Only the fused optimizer reads gradients in it."""

    fuses = can_fuse(task.engine.device)
    return torch.bfloat16 if fuses and task.training.precision == 'bf16' else None
