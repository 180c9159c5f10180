"""A network is a vector: named tensors <-> one flat vector, prunable weights first.

The legend of shapes, here and everywhere: R replicates, N all numbers that train, P ≤ N prunable weights, B batch.
Names exist only at the two borders, the `nn.Module` and the file; in between everything is a function of vectors.
Convolution weights lie in the vector as (out, height, width, in), so their views are channels_last at no cost.
"""
import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lth.errors import LthError

Kind = Literal['convolution', 'dense', 'output', 'other']
# Words that a recipe may use for any network, whether it has such layers or not.
_ROLES = ('output', 'shortcut')


@dataclass(frozen=True)
class Slot:
    """One tensor's place in the vector."""

    name: str
    shape: tuple[int, ...]
    start: int
    kind: Kind
    prunable: bool

    @property
    def size(self) -> int:
        """How many numbers it holds."""

        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        """Where the next slot starts."""

        return self.start + self.size

    def view(self, flat: Tensor) -> Tensor:
        """The tensor inside the vector, no copy: (..., N) -> (..., *shape)."""

        part = flat[..., self.start:self.stop]
        if len(self.shape) != 4:
            return part.view((*flat.shape[:-1], *self.shape))
        out, inputs, height, width = self.shape
        return part.view(*flat.shape[:-1], out, height, width, inputs).movedim(-1, -3)


@dataclass(frozen=True)
class Layout:
    """Where every tensor of a module lies: prunable weights, weights kept out of pruning, then all else that trains."""

    slots: tuple[Slot, ...]

    @staticmethod
    def of(module: nn.Module, keep_out: Sequence[str] = ()) -> 'Layout':
        """The layout of a module. Prunable is every weight of every convolution and dense layer, found by walking the
        modules, but for the layers in `keep_out`: `output` (the last one), a part of a dotted name (`shortcut`) or a
        pattern (`*.0.weight`).
        """

        kinds = _kinds(module)
        kept_out = _match_layers(kinds, keep_out)
        parameters = dict(module.named_parameters())
        names = sorted(parameters, key=lambda name: (name not in kinds) * 2 + (name in kept_out))
        slots, start = [], 0
        for name in names:
            prunable = name in kinds and name not in kept_out
            slots.append(Slot(name, tuple(parameters[name].shape), start, kinds.get(name, 'other'), prunable))
            start = slots[-1].stop
        return Layout(tuple(slots))

    @property
    def size(self) -> int:
        """N: all numbers that train."""

        return self.slots[-1].stop

    @property
    def prunable_slots(self) -> tuple[Slot, ...]:
        """The prunable tensors, in module order."""

        return tuple(slot for slot in self.slots if slot.prunable)

    @property
    def prunable_count(self) -> int:
        """P: the weights that pruning chooses among."""

        return sum(slot.size for slot in self.prunable_slots)

    @property
    def weight_count(self) -> int:
        """All weights of convolutions and dense layers, pruned or kept out: the denominator of every density."""

        return sum(slot.size for slot in self.slots if slot.kind != 'other')

    def density(self, kept: int) -> float:
        """The share of all weights that is left when `kept` of the prunable ones are, as the papers count it."""

        return (kept + self.weight_count - self.prunable_count) / self.weight_count

    def pack(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Named tensors as one vector: (N,) if all are named, (P,) if just the prunable ones are."""

        slots = [slot for slot in self.slots if slot.name in tensors]
        flat = torch.empty(slots[-1].stop, dtype=tensors[slots[0].name].dtype, device=tensors[slots[0].name].device)
        for slot in slots:
            slot.view(flat).copy_(tensors[slot.name])
        return flat

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """Named views into a vector, no copy: (..., N) or (..., P) -> {name: (..., *shape)}."""

        return {slot.name: slot.view(flat) for slot in self.slots if slot.stop <= flat.shape[-1]}


def _kinds(module: nn.Module) -> dict[str, Kind]:
    """The kind of every weight of a convolution or dense layer; the last of them is the output layer."""

    known = {id(parameter): name for name, parameter in module.named_parameters()}
    kinds: dict[str, Kind] = {}
    for path, layer in module.named_modules():
        for attribute in _weights_of(layer):
            weight = getattr(layer, attribute)
            if id(weight) not in known:
                raise LthError(f'{type(module).__name__}: the weight of {path} is computed from others, as by '
                               'weight_norm or a parametrization, so no mask can act on it. Take that off the layer.')
            kinds[known[id(weight)]] = 'convolution' if isinstance(layer, _ConvNd) else 'dense'
    if not kinds:
        raise LthError(f'{type(module).__name__} has no convolution and no dense layer, so there is nothing to prune.')
    kinds[list(kinds)[-1]] = 'output'
    return kinds


def _weights_of(layer: nn.Module) -> tuple[str, ...]:
    """The attributes that hold weights of convolutions or dense layers."""

    if isinstance(layer, (_ConvNd, nn.Linear)):
        return ('weight',)
    if isinstance(layer, nn.MultiheadAttention):
        # Its dense layers for queries, keys and values are one tensor, or three if their widths differ.
        projections = ('in_proj_weight', 'q_proj_weight', 'k_proj_weight', 'v_proj_weight')
        return tuple(name for name in projections if getattr(layer, name) is not None)
    return ()


def _match_layers(kinds: Mapping[str, Kind], patterns: Sequence[str]) -> set[str]:
    """The weights that the patterns keep out of pruning; each pattern must find some, and some be left."""

    found: set[str] = set()
    for pattern in patterns:
        names = {name for name, kind in kinds.items()
                 if pattern == kind or pattern in name.split('.') or fnmatch.fnmatch(name, pattern)}
        if not names and pattern not in _ROLES:
            raise LthError(f'keep_out: no layer matches {pattern!r}. The layers are: {", ".join(kinds)}; '
                           '`output` means the last.')
        found |= names
    if len(found) == len(kinds):
        raise LthError(f'keep_out: {list(patterns)} keeps every layer out, so there is nothing to prune.')
    return found
