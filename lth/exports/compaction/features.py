"""The channels of features: numbers that follow a channel from the layer that computes it to the layers that read it.

Channels that are added to each other, as by a shortcut, become one: they are kept or removed together. For example, the
channels of both summands of `main(images) + shortcut(images)` have the same numbers afterwards.
"""
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, fx

VARIES = float('nan')


class Feature(NamedTuple):
    """What an operation computes: dimension `dim` lists its channels. `numbers` (C,) int64 are those of `Channels`,
    `constants` (C,) float64 the value that a channel has for every image and at every position, NaN if it varies.
    """

    numbers: Tensor
    dim: int
    constants: Tensor


class Channels:
    """Numbers of channels, some of which are joined."""

    def __init__(self) -> None:
        self._parents: list[int] = []

    def new(self, count: int) -> Tensor:
        """Numbers of new channels: (count,)."""

        first = len(self._parents)
        self._parents += range(first, first + count)
        return torch.arange(first, first + count)

    def join(self, first: Tensor, second: Tensor) -> None:
        """Let the channels at the same places of two lists be one."""

        for one, two in zip(first.tolist(), second.tolist(), strict=True):
            self._parents[self._root(one)] = self._root(two)

    def roots(self) -> Tensor:
        """For each number one that all channels joined to it share: (numbers,)."""

        return torch.tensor([self._root(number) for number in range(len(self._parents))], dtype=torch.int64)

    def _root(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number


class Layer(NamedTuple):
    """A layer with a weight, by its path in the module. `outputs` (O,) are the channels that it computes, `inputs` (I,)
    those that it reads; None if they are not known, or if each output reads the input of the same number
    (`per_channel`). `folded` (I,) are the values of constant inputs that its bias can take over exactly, NaN for the
    others.
    """

    path: str
    outputs: Tensor
    inputs: Tensor | None
    folded: Tensor
    per_channel: bool = False


@dataclass
class Flow:
    """What is known about the channels of a network. `layers` and `norms` (normalization layers with one entry for each
    channel) are in the order of execution; `pads` are the channels before and after those that a padding surrounds.
    `pinned` channels stay, because `kept_for` names an operation that mixes or counts them.
    """

    channels: Channels = field(default_factory=Channels)
    features: dict[fx.Node, Feature] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    norms: dict[str, Tensor] = field(default_factory=dict)
    pads: dict[fx.Node, tuple[Tensor, Tensor]] = field(default_factory=dict)
    pinned: list[Tensor] = field(default_factory=list)
    kept_for: dict[str, None] = field(default_factory=dict)

    def pin(self, feature: Feature, reason: str) -> None:
        """Let all channels of a feature stay."""

        self.pinned.append(feature.numbers)
        if reason:
            self.kept_for[reason] = None
