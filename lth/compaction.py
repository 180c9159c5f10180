"""What of a pruned network still carries anything: without the rest a smaller one would compute and train the same.

A unit or channel carries if one that carries reads it, and so on up to the output; an input if a unit that carries
reads it. One that reads nothing still carries: it trains its bias and emits it.
"""
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lth.network import Network


class Carrying(NamedTuple):
    """How many inputs and units of a layer, or channels of a convolution, carry something, and of how many."""

    name: str
    inputs: int
    of_inputs: int
    units: int
    of_units: int


class Compaction(NamedTuple):
    """How many inputs of the network, and units and channels of all its layers, carry something, and of how many."""

    inputs: int
    of_inputs: int
    units: int
    of_units: int


def carrying(network: Network, mask: Tensor) -> list[Carrying]:
    """The layers of a chain under a mask (P,), from the input on; none where layers are not a chain, as in a ResNet,
    since their weights alone do not tell who reads a unit.
    """

    parts, rows = network.layout.unpack(mask.cpu()), list[Carrying]()
    read: Tensor | None = None
    for name, weight in reversed(_chain(network)):
        kept = parts.get(name, torch.ones(weight.shape, dtype=torch.bool))
        kept, units = kept.reshape(*kept.shape[:2], -1).any(2), len(kept)
        # Behind a flattening each channel is as many features as it has pixels.
        heard = torch.ones(units, dtype=torch.bool) if read is None else read.view(units, -1).any(1)
        read = kept[heard].any(0)
        rows.append(Carrying(name, int(read.sum()), len(read), int(heard.sum()), units))
    return rows[::-1]


def compaction(network: Network, mask: Tensor) -> Compaction | None:
    """The whole network under a mask (P,); None where its layers are not a chain."""

    layers = carrying(network, mask)
    if not layers:
        return None
    return Compaction(layers[0].inputs, layers[0].of_inputs, sum(layer.units for layer in layers),
                      sum(layer.of_units for layer in layers))


def _chain(network: Network) -> list[tuple[str, Tensor]]:
    """The weights of the layers from input to output, by name, if each reads the one before it and nothing else."""

    module, chain = network.module, list[tuple[str, Tensor]]()
    for path, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            chain.append((f'{path}.weight', layer.weight))
        sequence = layer.__class__ is nn.Sequential
        if (not sequence and any(True for _ in layer.children())) or getattr(layer, 'groups', 1) > 1:
            return []
    known = {slot.name: slot for slot in network.layout.slots if slot.kind != 'other'}
    fits = all(len(before) and after.shape[1] % len(before) == 0 for (_, before), (_, after) in zip(chain, chain[1:]))
    return chain if fits and known.keys() == {name for name, _ in chain} else []
