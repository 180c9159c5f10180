"""The precision of a recipe: fp32, tf32 (NVIDIA's matrix units) or bf16 (autocast)."""
import contextlib
from collections.abc import Iterator
from typing import Literal

import torch

from lth.models.network import Network
from lth.training.engines.devices import resolve_device
from lth.training.task import Task


@contextlib.contextmanager
def precision_context(task: Task) -> Iterator[None]:
    """Set matrix precision and autocast for a block of training or measuring; restore both at its end."""

    precision = task.training.precision
    assert precision != 'auto', 'planning replaces auto by the default of the device'
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision('high' if precision == 'tf32' else 'highest')
    torch.backends.cudnn.allow_tf32 = precision == 'tf32'
    try:
        # The cache of cast weights would be stale within a captured graph.
        with torch.autocast(task.engine.device.type, torch.bfloat16, enabled=precision == 'bf16', cache_enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def default_precision(device: str, network: Network) -> Literal['fp32', 'tf32', 'bf16']:
    """Return what the precision `auto` means for a network on a device.

    On a CPU always fp32. On a GPU fp32 for networks of dense layers, tf32 for convolutions, and bf16 with BatchNorm,
    which makes training insensitive to rounding.
    """

    if resolve_device(device).type == 'cpu' or network.stackable:
        return 'fp32'
    return 'bf16' if network.has_batch_norm else 'tf32'
