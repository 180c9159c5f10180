"""Devices: what their names mean on this machine, and how a GPU becomes the current one for a while."""
import contextlib

import torch

from lth.errors import LthError


def resolve_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:1` means.

    `auto` is a GPU if torch sees one. A GPU without a number is the current one of this process: the result always has
    an index, as `torch.cuda.set_device` requires. Raises LthError for another name and for a GPU that does not exist.
    """

    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    device = _parse(name)
    if device is None or device.type not in ('cpu', 'cuda'):
        raise LthError(f'Unknown device {name!r}. Use auto, cpu or cuda, or choose one of several GPUs, as in cuda:1.')
    if device.type == 'cpu':
        return torch.device('cpu')
    count = torch.cuda.device_count()
    if count == 0 or (device.index or 0) >= count:
        raise LthError(f'Device {name!r} is not available: torch {torch.__version__} sees {count} GPU(s). Use the '
                       'device cpu, or install a torch build and a driver that match the GPU.')
    return device if device.index is not None else torch.device('cuda', torch.cuda.current_device())


def current_device(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Return a context in which this GPU is the current one, as streams and captures need; for a CPU an empty one."""

    return torch.cuda.device(device) if device.type == 'cuda' else contextlib.nullcontext()


def _parse(name: str) -> torch.device | None:
    try:
        return torch.device(name)
    except RuntimeError:
        return None
