"""The precision of a recipe: fp32, tf32 (NVIDIA's matrix units) or bf16 (autocast)."""
import contextlib
from collections.abc import Iterator
from typing import Literal

import torch

from lth.errors import LthError
from lth.models.network import Network
from lth.training.engines.devices import resolve_device
from lth.training.task import Task

Precision = Literal['auto', 'fp32', 'tf32', 'bf16']

# The compute capability of NVIDIA's Ampere, whose matrix units are the first for tf32 and bf16.
_AMPERE = (8, 0)


@contextlib.contextmanager
def precision_context(task: Task) -> Iterator[None]:
    """Set matrix precision and autocast for a block of training or measuring; restore both at its end."""

    precision = task.training.precision
    assert precision != 'auto', 'planning replaces auto by the default of the device'
    device = task.engine.device.type
    tf32 = precision == 'tf32' and device == 'cuda'
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision('high' if tf32 else 'highest')
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        # The cache of cast weights would be stale within a captured graph.
        with torch.autocast(device, torch.bfloat16, enabled=precision == 'bf16', cache_enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def default_precision(device: str, network: Network) -> Literal['fp32', 'tf32', 'bf16']:
    """What the precision `auto` means for a network on a device.

    On a CPU always fp32, as on a GPU before Ampere. On later ones fp32 for networks of dense layers, tf32 for
    convolutions, and bf16 with BatchNorm, which makes training insensitive to rounding.
    """

    if network.stackable or not _is_ampere(resolve_device(device)):
        return 'fp32'
    return 'bf16' if network.has_batch_norm else 'tf32'


def refuse_unsupported_precision(device: torch.device, precision: Precision) -> None:
    """Raise LthError for bf16 on a GPU that has no units for it and would be slower than with fp32."""

    if precision == 'bf16' and device.type == 'cuda' and not _is_ampere(device):
        raise LthError(f'Precision bf16 needs a GPU with compute capability 8.0 (Ampere) or later, but {_card(device)}'
                       '. Use --precision fp32 (training.precision) or another device.')


def precision_note(device: torch.device, precision: Precision) -> str | None:
    """What to know about a precision that a device computes in another way, else None."""

    if precision != 'tf32' or _is_ampere(device):
        return None
    reason = _card(device) if device.type == 'cuda' else 'the device is a CPU'
    return f'tf32 is computed as fp32: it needs a GPU with compute capability 8.0 (Ampere) or later, and {reason}'


def _is_ampere(device: torch.device) -> bool:
    return device.type == 'cuda' and torch.cuda.get_device_capability(device) >= _AMPERE


def _card(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f'{device} ({torch.cuda.get_device_name(device)}) has {major}.{minor}'
