"""What of a pruned network still carries anything: without the rest a smaller one would compute and train the same.

A unit or channel carries if one that carries reads it, and so on up to the output; an input if a unit that carries
reads it and some picture lights it. One that reads nothing still carries: it trains its bias and emits it.
"""
import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth.models.network import Network

# Layers through which more of what is positive gives more, never less; any that lth builds itself is such a layer.
_RISING = (
    nn.Linear, nn.Conv2d, _BatchNorm, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d)
# Small enough that no activation is cut off above, large enough that products over a hundred layers are not 0.
_LIGHT = 1e-3


class ConnectedLayer(NamedTuple):
    """How many inputs and units of a layer, or channels of a convolution, carry something, and of how many."""

    name: str
    inputs: int
    total_inputs: int
    units: int
    total_units: int


class ConnectedTotals(NamedTuple):
    """How many inputs of the network, and units and channels of all its layers, carry something, and of how many."""

    inputs: int
    total_inputs: int
    units: int
    total_units: int


class _Layer(NamedTuple):
    """A layer as it ran: its weight and output; whether it reads the pictures, each pixel or each channel of them."""

    name: str
    module: nn.Linear | nn.Conv2d
    output: Tensor
    first: bool


def connected_layers(network: Network, mask: Tensor, nonzero_pixels: Tensor | None = None) -> list[ConnectedLayer]:
    """The layers under a mask (P,), in the order in which they run; none where this cannot be told, since there are
    other layers than those that are known here, or the user's own code between them. `lit` (C, H, W) are the pixels
    that are not 0 in every picture, None if all are.
    """

    module = _probe(network, network.layout.unpack(mask.cpu()))
    if module is None:
        return []
    rows = list[ConnectedLayer]()
    for layer in _run(module, network.shape):
        units = layer.module.weight.shape[0]
        # Nothing arrives at an output that is not used at all.
        arriving = torch.zeros(units) if layer.output.grad is None else layer.output.grad
        heard = (arriving.reshape(units, -1) > 0).any(1)
        read = _read_inputs(layer.module, heard)
        if layer.first and nonzero_pixels is not None:
            read &= nonzero_pixels.flatten() if isinstance(layer.module, nn.Linear) else nonzero_pixels.flatten(1).any(1)
        rows.append(ConnectedLayer(f'{layer.name}.weight', int(read.sum()), len(read), int(heard.sum()), units))
    return rows


def connected_totals(network: Network, mask: Tensor, nonzero_pixels: Tensor | None = None) -> ConnectedTotals | None:
    """The whole network under a mask (P,); None where it cannot be told, as above."""

    layers = connected_layers(network, mask, nonzero_pixels)
    if not layers:
        return None
    return ConnectedTotals(layers[0].inputs, layers[0].total_inputs, sum(layer.units for layer in layers),
                      sum(layer.total_units for layer in layers))


def _probe(network: Network, masks: Mapping[str, Tensor]) -> nn.Module | None:
    """The network with kept weights positive and everywhere a little light, so that a gradient arrives exactly where
    something carries; None if it has layers that are not known here.
    """

    for layer in network.module.modules():
        inner = any(True for _ in layer.children())
        known = layer.__class__ is nn.Sequential or not network.has_user_code if inner else (
            isinstance(layer, _RISING) or layer.__class__.__module__.startswith('lth.models.'))
        if not known or (isinstance(layer, _BatchNorm) and not layer.track_running_stats):
            return None
    module: nn.Module = copy.deepcopy(network.module).eval().double()
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            kept = masks.get(f'{name}.weight', torch.ones(1)).expand_as(layer.weight)
            # As shares of all that could be read, activations stay as small as the light is.
            layer.weight.data = kept.to(torch.float64) / kept[0].numel()
            if layer.bias is not None:
                layer.bias.data.fill_(_LIGHT)
        elif isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.reset_parameters()
            assert layer.running_mean is not None
            layer.running_mean.fill_(-_LIGHT)
    return module


def _run(module: nn.Module, shape: tuple[int, int, int]) -> list[_Layer]:
    """The layers as they run on a picture that is lit everywhere, with the gradients of all logits together."""

    pictures, layers = torch.full((1, *shape), _LIGHT, dtype=torch.float64), list[_Layer]()

    def watch(name: str, layer: nn.Linear | nn.Conv2d) -> None:
        def seen(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            output.retain_grad()
            layers.append(_Layer(name, layer, output, inputs[0].data_ptr() == pictures.data_ptr()))
            # What follows may work in place.
            return output.clone()
        layer.register_forward_hook(seen)

    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            watch(name, layer)
    module(pictures).sum().backward()
    return layers


def _read_inputs(layer: nn.Linear | nn.Conv2d, heard: Tensor) -> Tensor:
    """Which inputs the units that are heard read; each group of a convolution has inputs of its own."""

    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    kept = layer.weight.detach().flatten(2).any(2) if isinstance(layer, nn.Conv2d) else layer.weight.detach() != 0
    read: Tensor = (kept & heard[:, None]).unflatten(0, (groups, -1)).any(1).flatten()
    return read
