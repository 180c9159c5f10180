"""Checks of the tensors of a round against the network: names, shapes, types and values."""
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lth.errors import LthError, quote
from lth.models.network import Network
from lth.models.registry import OWN


class Expected(NamedTuple):
    """What a tensor in a file should be. `special` marks values that may be infinite or NaN, as those of a buffer that
    is made so; None if all should be finite.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    special: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of bytes."""

        return torch.Size(self.shape).numel() * self.dtype.itemsize


def expected_tensors(network: Network, holds: str) -> dict[str, Expected]:
    """The tensors that the file `holds` has: 'mask', 'ever-active', 'scores', 'ticket' or 'trained' of a round."""

    dtype = torch.bool if holds in ('mask', 'ever-active') else _weight_dtype(network)
    if holds in ('mask', 'ever-active', 'scores'):
        return {slot.name: Expected(slot.shape, dtype) for slot in network.layout.prunable_slots}
    slots = {slot.name: Expected(slot.shape, dtype) for slot in network.layout.slots}
    buffers = {name: Expected(tuple(buffer.shape), buffer.dtype, ~torch.isfinite(buffer))
               for name, buffer in network.initial_buffers().items()}
    return slots | buffers


def check_tensors(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Expected], advice: str) -> None:
    """LthError that names the first tensor that is missing, unknown, of another shape or type, or has a value that
    lth never writes.
    """

    for name in sorted(expected.keys() | tensors.keys()):
        actual = f'{_describe(tensors[name])}' if name in tensors else 'absent'
        wanted = f'{_describe(expected[name])}' if name in expected else 'absent'
        if actual != wanted:
            raise LthError(f'{path} does not fit the network: {quote(name)} is {actual} in the file and {wanted} in '
                           f'the network. {advice}')
        check_values(path, name, tensors[name], advice, expected[name].special)


def check_values(path: Path, name: str, tensor: Tensor, advice: str, special: Tensor | None = None) -> None:
    """LthError if a mask has bytes other than 0 and 1, or if a number outside of `special` is NaN or infinite."""

    if tensor.dtype == torch.bool:
        if (tensor.view(torch.uint8) > 1).any():
            raise LthError(f'{path} is damaged: {quote(name)} has bytes other than 0 and 1. {advice}')
        return
    finite = torch.isfinite(tensor)
    if not finite.all() and (special is None or not (finite | special).all()):
        raise LthError(f'{path} is damaged: {quote(name)} has values that are NaN or infinite. {advice}')


def _weight_dtype(network: Network) -> torch.dtype:
    """The type of weights: float32, unless a module's own weights, which are trained as they are, have another one."""

    if network.settings.initializer != OWN:
        return torch.float32
    return network.module.get_parameter(network.layout.slots[0].name).dtype


def _describe(tensor: Tensor | Expected) -> str:
    return f'{str(tensor.dtype).removeprefix("torch.")} {list(tensor.shape)}'
