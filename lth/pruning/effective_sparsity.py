"""Effective sparsity: which inputs and units of a pruned network are still connected to the output.

A unit or channel is connected if a connected one uses it, and so on up to the output. An input is connected if a
connected unit uses it and it is non-zero in some image. Removing everything else would not change what the network
computes or how it trains. A unit that uses no inputs can be connected: it outputs its bias, which is trained.
"""
import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth.models.network import Network

# Layers whose output does not decrease when an input increases. All layers of the models of lth are of this kind.
_MONOTONE = (
    nn.Linear, nn.Conv2d, _BatchNorm, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d)
# So small that no activation reaches an upper bound, so large that products over a hundred layers do not underflow.
_PROBE_VALUE = 1e-3


class ConnectedLayer(NamedTuple):
    """Numbers of connected inputs and units of a layer (channels of a convolution), and of all of them."""

    name: str
    inputs: int
    total_inputs: int
    units: int
    total_units: int


class ConnectedTotals(NamedTuple):
    """Numbers of connected inputs of the network and connected units of all its layers, and of all of them."""

    inputs: int
    total_inputs: int
    units: int
    total_units: int


class _ExecutedLayer(NamedTuple):
    """A layer in the order of execution, with its output; `is_first` if it reads the image."""

    name: str
    module: nn.Linear | nn.Conv2d
    output: Tensor
    is_first: bool


def connected_layers(network: Network, mask: Tensor, nonzero_pixels: Tensor | None = None) -> list[ConnectedLayer]:
    """The layers under a mask (P,), in the order of execution. [] if the connections cannot be determined, because the
    network has layers of an unknown type, or user code between its layers. `nonzero_pixels` (C, H, W) says which pixels
    are non-zero in some image, None if all are.
    """

    if not all(_is_monotone(module, network) for module in network.module.modules()):
        return []
    rows = list[ConnectedLayer]()
    for layer in _execute(_probe(network, network.layout.unpack(mask.cpu())), network.shape):
        units = layer.module.weight.shape[0]
        # An output that is not used has no gradient.
        gradient = torch.zeros(units) if layer.output.grad is None else layer.output.grad
        connected = (gradient.reshape(units, -1) > 0).any(1)
        inputs = _used_inputs(layer.module, connected)
        if layer.is_first and nonzero_pixels is not None:
            is_linear = isinstance(layer.module, nn.Linear)
            inputs &= nonzero_pixels.flatten() if is_linear else nonzero_pixels.flatten(1).any(1)
        rows.append(
            ConnectedLayer(f'{layer.name}.weight', int(inputs.sum()), len(inputs), int(connected.sum()), units))
    return rows


def connected_totals(network: Network, mask: Tensor, nonzero_pixels: Tensor | None = None) -> ConnectedTotals | None:
    """The totals under a mask (P,); None if the connections cannot be determined, see `connected_layers`."""

    layers = connected_layers(network, mask, nonzero_pixels)
    if not layers:
        return None
    return ConnectedTotals(layers[0].inputs, layers[0].total_inputs, sum(layer.units for layer in layers),
                           sum(layer.total_units for layer in layers))


def _is_monotone(layer: nn.Module, network: Network) -> bool:
    """Whether a layer's output cannot decrease when an input increases; not known of user code."""

    if len(list(layer.children())) > 0:
        return layer.__class__ is nn.Sequential or not network.has_user_code
    if isinstance(layer, _BatchNorm):
        return layer.track_running_stats
    return isinstance(layer, _MONOTONE) or layer.__class__.__module__.startswith('lth.models.')


def _probe(network: Network, masks: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the network whose kept weights are positive and whose activations are all positive, so that a gradient
    reaches exactly the connected units.
    """

    module: nn.Module = copy.deepcopy(network.module).eval().double()
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            kept = masks.get(f'{name}.weight', torch.ones(1)).expand_as(layer.weight)
            # Divided by the number of inputs, so that activations stay as small as the probe value.
            layer.weight.data = kept.to(torch.float64) / kept[0].numel()
            if layer.bias is not None:
                layer.bias.data.fill_(_PROBE_VALUE)
        elif isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.reset_parameters()
            assert layer.running_mean is not None
            layer.running_mean.fill_(-_PROBE_VALUE)
    return module


def _execute(module: nn.Module, shape: tuple[int, int, int]) -> list[_ExecutedLayer]:
    """The layers in the order of execution on a constant positive image, with the gradient of the sum of all logits."""

    images, layers = torch.full((1, *shape), _PROBE_VALUE, dtype=torch.float64), list[_ExecutedLayer]()

    def record(name: str, layer: nn.Linear | nn.Conv2d) -> None:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            output.retain_grad()
            layers.append(_ExecutedLayer(name, layer, output, inputs[0].data_ptr() == images.data_ptr()))
            # The next layer may work in place.
            return output.clone()
        layer.register_forward_hook(hook)

    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            record(name, layer)
    module(images).sum().backward()
    return layers


def _used_inputs(layer: nn.Linear | nn.Conv2d, connected: Tensor) -> Tensor:
    """Which inputs the connected units use; each group of a convolution has its own inputs."""

    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    kept = layer.weight.detach().flatten(2).any(2) if isinstance(layer, nn.Conv2d) else layer.weight.detach() != 0
    used: Tensor = (kept & connected[:, None]).unflatten(0, (groups, -1)).any(1).flatten()
    return used
