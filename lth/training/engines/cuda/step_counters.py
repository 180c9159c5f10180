"""BatchNorm's counters of steps: one kernel counts for all layers, instead of one for each layer.

A counter that layers need for their statistics, with a momentum of None, stays with its layer.
"""
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def step_counters(module: nn.Module) -> list[str]:
    """The names of the buffers that count steps only for the user."""

    return [f'{name}.num_batches_tracked'.lstrip('.') for name, layer in module.named_modules() if _counts_steps(layer)]


def remove_step_counters(module: nn.Module) -> None:
    """Remove these buffers from a module, in place."""

    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and _counts_steps(layer):
            layer.num_batches_tracked = None


def count_step(counters: list[Tensor]) -> None:
    """Add 1 to all counters."""

    if counters:
        torch._foreach_add_(counters, 1)  # pylint: disable=protected-access # documented, in spite of its name


def _counts_steps(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm) and layer.track_running_stats and layer.momentum is not None
