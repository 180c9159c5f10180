"""Chains: networks of convolutions, then dense layers, with ReLU between them and no branches.

The sparse engine trains chains only, and the CUDA engine has a faster pass for chains of dense layers. A walk over the
module finds the layers, so every network of this form is a chain: LeNet-300-100, LeNet-5, Conv-n.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard, TypeVar

from torch import nn

from lth.models.flat_parameters import Slot
from lth.models.hooks import has_hooks
from lth.models.network import Network

M = TypeVar('M', bound=nn.Module)


class DenseLayer(NamedTuple):
    """One dense layer: the slots of its weight and of its bias, if it has one."""

    weight: Slot
    bias: Slot | None

    @property
    def positions(self) -> int:
        """1: a unit has one output per image."""

        return 1


class ConvLayer(NamedTuple):
    """One convolution of stride 1 with its ReLU: the slots of its weight and bias, and its geometry."""

    weight: Slot
    bias: Slot | None
    padding: int  # of zeros, on each side
    pooled: bool  # whether a 2 × 2 max-pool follows
    input_size: tuple[int, int]  # (height, width)

    @property
    def kernel_size(self) -> int:
        """Side of the square kernel."""

        return self.weight.shape[2]

    @property
    def conv_size(self) -> tuple[int, int]:
        """(height, width) of the convolution's output, before pooling."""

        growth = 2 * self.padding - self.kernel_size + 1
        return self.input_size[0] + growth, self.input_size[1] + growth

    @property
    def positions(self) -> int:
        """Number of output positions per channel, height × width, before pooling."""

        return math.prod(self.conv_size)

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) of the layer's output, after pooling."""

        return (self.conv_size[0] // 2, self.conv_size[1] // 2) if self.pooled else self.conv_size


class Chain(NamedTuple):
    """The layers from input to output. Without convolutions the first dense layer reads the image."""

    convolutions: list[ConvLayer]
    dense: list[DenseLayer]

    @property
    def layers(self) -> Sequence[ConvLayer | DenseLayer]:
        """All layers, in order."""

        return [*self.convolutions, *self.dense]


def supported_chain(network: Network) -> Chain | None:
    """The layers of a network if it is a chain in which each parameter is used once, else None."""

    if has_hooks(network.module):
        return None
    modules = _flat_modules(network.module)
    slots = _slots(network)
    flatten = next((index for index, module in enumerate(modules) if _is_flatten(module)), -1)
    convolutions = _conv_layers(modules[:max(flatten, 0)], slots, network.shape)
    dense = _dense_layers(modules[flatten + 1:], slots)
    if convolutions is None or dense is None:
        return None
    chain = Chain(convolutions, dense)
    fits = _features(chain, network) == dense[0].weight.shape[1]
    return chain if fits and _uses_each_slot_once(chain, network) else None


def supported_dense_chain(network: Network) -> list[DenseLayer] | None:
    """The layers of a network if it is a chain of dense layers only, else None."""

    chain = supported_chain(network)
    return chain.dense if chain and not chain.convolutions else None


def _uses_each_slot_once(chain: Chain, network: Network) -> bool:
    names = [slot.name for layer in chain.layers for slot in (layer.weight, layer.bias) if slot]
    return len(set(names)) == len(names) == len(network.layout.slots)


def _features(chain: Chain, network: Network) -> int:
    """Number of inputs that the first dense layer gets."""

    if not chain.convolutions:
        return math.prod(network.shape)
    last = chain.convolutions[-1]
    return last.weight.shape[0] * math.prod(last.output_size)


def _dense_layers(modules: list[nn.Module], slots: dict[int, Slot]) -> list[DenseLayer] | None:
    """The dense layers if the modules are dense layers with a ReLU between each two, else None."""

    linear, between = modules[::2], modules[1::2]
    if len(linear) != len(between) + 1 or not all(_is_exactly(module, nn.ReLU) for module in between):
        return None
    layers = []
    for module in linear:
        if not _is_exactly(module, nn.Linear) or id(module.weight) not in slots:
            return None
        layers.append(DenseLayer(slots[id(module.weight)], slots.get(id(module.bias))))
    return layers


def _conv_layers(
        modules: list[nn.Module], slots: dict[int, Slot], shape: tuple[int, int, int]) -> list[ConvLayer] | None:
    """The convolutions if the modules are convolutions, each followed by a ReLU and perhaps a max-pool, else None."""

    layers, size, rest = list[ConvLayer](), shape[1:], modules
    while rest:
        conv, pooled = rest[0], len(rest) > 2 and _is_pool(rest[2])
        followed = len(rest) > 1 and _is_exactly(rest[1], nn.ReLU)
        if not followed or not _is_conv(conv) or id(conv.weight) not in slots:
            return None
        weight, bias = slots[id(conv.weight)], slots.get(id(conv.bias))
        layers.append(ConvLayer(weight, bias, int(conv.padding[0]), pooled, size))
        size, rest = layers[-1].output_size, rest[3 if pooled else 2:]
    return layers


def _is_exactly(module: nn.Module, kind: type[M]) -> TypeGuard[M]:
    """Whether a module has this class. A subclass may compute something else."""

    return module.__class__ is kind


def _is_conv(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is a convolution with a square kernel, stride 1, one group, padding below the kernel size."""

    if not _is_exactly(module, nn.Conv2d) or isinstance(module.padding, str):
        return False
    plain = module.stride == module.dilation == (1, 1) and module.groups == 1 and module.padding_mode == 'zeros'
    square = len({*module.kernel_size}) == len({*module.padding}) == 1
    return plain and square and module.padding[0] < module.kernel_size[0]


def _is_pool(module: nn.Module) -> bool:
    """Whether a module is a max-pool of 2 × 2 squares that don't overlap."""

    if not _is_exactly(module, nn.MaxPool2d) or module.ceil_mode or module.return_indices:
        return False
    sizes = module.kernel_size, module.stride, module.padding, module.dilation
    return all(size in (side, (side, side)) for size, side in zip(sizes, (2, 2, 0, 1), strict=True))


def _is_flatten(module: nn.Module) -> bool:
    """Whether a module turns each image into one vector."""

    return _is_exactly(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1)


def _slots(network: Network) -> dict[int, Slot]:
    """The slot of each parameter of the module, by the parameter's id."""

    slots = {slot.name: slot for slot in network.layout.slots}
    return {id(parameter): slots[name] for name, parameter in network.module.named_parameters()}


def _flat_modules(module: nn.Module) -> list[nn.Module]:
    """The modules of a sequence and of the sequences in it, in order, without identities."""

    if not _is_exactly(module, nn.Sequential):
        return [] if _is_exactly(module, nn.Identity) else [module]
    return [layer for child in module for layer in _flat_modules(child)]
