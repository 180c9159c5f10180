"""The size of a network's computation: how many layers it has, and how many values they compute for an image."""
import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from lth.models.network import Network
from lth.registry import user_code

_NORMALIZATION = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class NetworkSize(NamedTuple):
    """What one image takes: `layers` counts convolutions and dense layers, each as often as it is used; `activations`
    counts the values in the outputs of these layers and of all normalization layers.
    """

    layers: int
    activations: int


def network_size(network: Network) -> NetworkSize:
    """The size of a network, found by passing one black image through a copy of it on the CPU.

        >>> network_size(Network.of(LeNet(name='lenet-300-100'), (1, 28, 28), 10))
        NetworkSize(layers=3, activations=410)
    """

    layers, activations = 0, 0

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal layers, activations
        layers += not isinstance(layer, _NORMALIZATION)
        activations += output.numel()

    module = copy.deepcopy(network.module).eval()
    for layer in module.modules():
        if isinstance(layer, (_ConvNd, nn.Linear, *_NORMALIZATION)):
            layer.register_forward_hook(count)
    # The code of a user may draw random numbers in evaluation mode too; the global generator keeps its state.
    with torch.random.fork_rng(devices=[]), torch.no_grad(), user_code.guard(network.settings.name):
        module(torch.zeros(1, *network.shape))
    return NetworkSize(layers, activations)
