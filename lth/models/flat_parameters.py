"""All parameters of a network in one flat vector, prunable weights first.

Shapes in this package: R replicates, N parameters, P ≤ N prunable weights, B images in a batch. Parameters have names
in the `nn.Module` and in files; all code between them works on vectors. The vector holds convolution weights in the
order (out, height, width, in), so that their views are channels_last without a copy.
"""
import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from lth.errors import LthError, quote
from lth.models.layer_kinds import ExtraKind, LayerKind, layer_kinds

# Recipes may keep these layers out of pruning even if a network has none.
_ROLES = ('output', 'shortcut')


@dataclass(frozen=True)
class Slot:
    """The part of the vector that holds one parameter tensor, with the input channels of convolutions last or not."""

    name: str
    shape: tuple[int, ...]
    start: int
    kind: LayerKind
    prunable: bool
    channels_last: bool = True

    @property
    def size(self) -> int:
        """Number of elements of the tensor."""

        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        """Index after its last element."""

        return self.start + self.size

    def view(self, flat: Tensor) -> Tensor:
        """The tensor as a view into the vector: (..., N) -> (..., *shape)."""

        part = flat[..., self.start:self.stop]
        if len(self.shape) != 4 or not self.channels_last:
            return part.view((*flat.shape[:-1], *self.shape))
        out, inputs, height, width = self.shape
        return part.view(*flat.shape[:-1], out, height, width, inputs).movedim(-1, -3)


@dataclass(frozen=True)
class Layout:
    """The slots of all parameters: prunable weights, then weights kept out of pruning, then all other parameters."""

    slots: tuple[Slot, ...]

    @staticmethod
    def of(module: nn.Module, keep_out: Sequence[str] = (), uses: Sequence[str] = (),
           also_prune: Sequence[ExtraKind] = ()) -> 'Layout':
        """The layout of a module. The weights of all convolutions and dense layers are prunable, and those of the kinds
        in `also_prune`, except for layers in `keep_out`: `output`, a part of a dotted name (`shortcut`) or a pattern
        (`*.0.weight`). The output layer is the one that comes last in `uses`, names of parameters in the order in which
        forward uses them; by default, the one that is registered last.
        """

        kinds = layer_kinds(module, uses, also_prune)
        kept_out = _match_layers(kinds, keep_out)
        parameters = dict(module.named_parameters())
        names = sorted(parameters, key=lambda name: (name not in kinds) * 2 + (name in kept_out))
        slots, start = [], 0
        for name in names:
            prunable = name in kinds and name not in kept_out
            slots.append(Slot(name, tuple(parameters[name].shape), start, kinds.get(name, 'other'), prunable))
            start = slots[-1].stop
        return Layout(tuple(slots))

    def contiguous(self) -> 'Layout':
        """The layout whose views have torch's usual order, for code that needs it."""

        return Layout(tuple(replace(slot, channels_last=False) for slot in self.slots))

    @property
    def size(self) -> int:
        """N: the number of parameters."""

        return self.slots[-1].stop

    @property
    def prunable_slots(self) -> tuple[Slot, ...]:
        """The prunable tensors, in module order."""

        return tuple(slot for slot in self.slots if slot.prunable)

    @property
    def output_name(self) -> str:
        """The name of the weight of the output layer."""

        return next(slot.name for slot in self.slots if slot.kind == 'output')

    @property
    def prunable_count(self) -> int:
        """P: the number of prunable weights."""

        return sum(slot.size for slot in self.prunable_slots)

    @property
    def weight_count(self) -> int:
        """Number of weights of convolutions and dense layers, and of other kinds that are pruned, prunable or not: the
        denominator of every density.
        """

        return sum(slot.size for slot in self.slots if slot.kind != 'other')

    def ranked_parts(self, scope: Literal['layer', 'global']) -> list[tuple[int, int]]:
        """The parts (start, stop) of a vector (P,) whose weights are ranked together: of each layer, or of all."""

        slots = self.prunable_slots
        return [(0, slots[-1].stop)] if scope == 'global' else [(slot.start, slot.stop) for slot in slots]

    def density(self, kept: int) -> float:
        """Share of all weights that remain if `kept` of the prunable weights do, as the papers count it."""

        return (kept + self.weight_count - self.prunable_count) / self.weight_count

    def trainable_mask(self, mask: Tensor) -> Tensor:
        """The parameters that training may change, the kept weights and all that are never pruned: (R, P) -> (R, N)."""

        return torch.cat([mask, mask.new_ones(len(mask), self.size - self.prunable_count)], dim=1)

    def pack(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Named tensors as one vector: (N,) for all parameters, (P,) for the prunable ones only."""

        slots = [slot for slot in self.slots if slot.name in tensors]
        flat = torch.empty(slots[-1].stop, dtype=tensors[slots[0].name].dtype, device=tensors[slots[0].name].device)
        for slot in slots:
            slot.view(flat).copy_(tensors[slot.name])
        return flat

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """Named views into a vector: (..., N) or (..., P) -> {name: (..., *shape)}."""

        return {slot.name: slot.view(flat) for slot in self.slots if slot.stop <= flat.shape[-1]}


def _match_layers(kinds: Mapping[str, LayerKind], patterns: Sequence[str]) -> set[str]:
    """Names of the weights that match a pattern; LthError if a pattern matches no layer, or if all layers match."""

    matches: set[str] = set()
    for pattern in patterns:
        names = {name for name, kind in kinds.items()
                 if pattern == kind or pattern in name.split('.') or fnmatch.fnmatch(name, pattern)}
        if not names and pattern not in _ROLES:
            raise LthError(f'keep_out: no layer matches {quote(pattern)}. The layers are: {", ".join(kinds)}. '
                           '`output` stands for the one that forward uses last.')
        matches |= names
    if len(matches) == len(kinds):
        raise LthError(f'keep_out: {list(patterns)} matches all layers, so there is nothing to prune.')
    return matches
