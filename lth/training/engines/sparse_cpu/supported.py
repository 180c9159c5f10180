"""Which networks the sparse engine can train: convolutions, then dense layers, with ReLU between them and no branches.

Found by walking the module, so any network that is made so will do: LeNet-300-100, LeNet-5 and Conv-n are.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from lth.models.flat_parameters import Slot
from lth.models.network import Network


class DenseLayer(NamedTuple):
    """One dense layer: the slots of its weight and of its bias, if it has one."""

    weight: Slot
    bias: Slot | None

    @property
    def places(self) -> int:
        """How many sums each unit is."""

        return 1


class ConvLayer(NamedTuple):
    """One convolution of stride 1 with its ReLU: besides the slots its zeros around pictures, whether a 2 × 2 max-pool
    follows, and height and width of what it reads.
    """

    weight: Slot
    bias: Slot | None
    padding: int
    pooled: bool
    size: tuple[int, int]

    @property
    def side(self) -> int:
        """Of its square filters."""

        return self.weight.shape[2]

    @property
    def sums(self) -> tuple[int, int]:
        """Height and width of what it computes."""

        grown = 2 * self.padding - self.side + 1
        return self.size[0] + grown, self.size[1] + grown

    @property
    def places(self) -> int:
        """How many sums each channel is."""

        return math.prod(self.sums)

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of what it puts out."""

        return (self.sums[0] // 2, self.sums[1] // 2) if self.pooled else self.sums


class Chain(NamedTuple):
    """The layers from input to output; without convolutions the pictures are what the first dense layer reads."""

    convolutions: list[ConvLayer]
    dense: list[DenseLayer]

    @property
    def layers(self) -> Sequence[ConvLayer | DenseLayer]:
        """All of them, in order."""

        return [*self.convolutions, *self.dense]


def supported_chain(network: Network) -> Chain | None:
    """The layers of a network if it is such a chain, each used once, else None."""

    layers = _unfolded(network.module)
    slots = _slots(network)
    flat = next((place for place, layer in enumerate(layers) if _flattens(layer)), -1)
    convolutions, dense = _convolutions(layers[:max(flat, 0)], slots, network.shape), _dense(layers[flat + 1:], slots)
    if convolutions is None or dense is None:
        return None
    found = Chain(convolutions, dense)
    known = [slot.name for layer in found.layers for slot in (layer.weight, layer.bias) if slot]
    whole = len(set(known)) == len(known) == len(network.layout.slots)
    last = convolutions[-1] if convolutions else None
    inputs = last.weight.shape[0] * math.prod(last.output) if last else math.prod(network.shape)
    return found if whole and inputs == dense[0].weight.shape[1] else None


def supported_dense_chain(network: Network) -> list[DenseLayer] | None:
    """The layers of a network if it is a chain of nothing but dense ones, else None."""

    found = supported_chain(network)
    return found.dense if found and not found.convolutions else None


def _dense(layers: list[nn.Module], slots: dict[int, Slot]) -> list[DenseLayer] | None:
    """Dense layers with ReLU between them, None if they are anything else."""

    dense, between = layers[::2], layers[1::2]
    if len(dense) != len(between) + 1 or not all(layer.__class__ is nn.ReLU for layer in between):
        return None
    found = []
    for layer in dense:
        if layer.__class__ is not nn.Linear or not isinstance(layer, nn.Linear) or id(layer.weight) not in slots:
            return None
        found.append(DenseLayer(slots[id(layer.weight)], slots[id(layer.bias)] if layer.bias is not None else None))
    return found


def _convolutions(
        layers: list[nn.Module], slots: dict[int, Slot], shape: tuple[int, int, int]) -> list[ConvLayer] | None:
    """Convolutions, each with a ReLU and perhaps a max-pool behind it, None if they are anything else."""

    found, size, rest = list[ConvLayer](), shape[1:], layers
    while rest:
        layer, pooled = rest[0], len(rest) > 2 and _pools(rest[2])
        if len(rest) < 2 or rest[1].__class__ is not nn.ReLU or not _slides(layer) or id(layer.weight) not in slots:
            return None
        assert isinstance(layer, nn.Conv2d)
        bias = slots[id(layer.bias)] if layer.bias is not None else None
        found.append(ConvLayer(slots[id(layer.weight)], bias, int(layer.padding[0]), pooled, size))
        size, rest = found[-1].output, rest[3 if pooled else 2:]
    return found


def _slides(layer: nn.Module) -> bool:
    """Whether it is a convolution with a square filter, stride 1, no groups, and less zeros around than the filter is
    wide.
    """

    if layer.__class__ is not nn.Conv2d or not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str):
        return False
    plain = layer.stride == layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == 'zeros'
    square = len({*layer.kernel_size}) == len({*layer.padding}) == 1
    return plain and square and layer.padding[0] < layer.kernel_size[0]


def _pools(layer: nn.Module) -> bool:
    """Whether it is a max-pool of squares of 2 × 2."""

    if layer.__class__ is not nn.MaxPool2d or not isinstance(layer, nn.MaxPool2d):
        return False
    return ([*map(_pair, (layer.kernel_size, layer.stride, layer.padding, layer.dilation))]
            == [(2, 2), (2, 2), (0, 0), (1, 1)] and not layer.ceil_mode and not layer.return_indices)


def _flattens(layer: nn.Module) -> bool:
    """Whether it makes vectors of pictures."""

    if layer.__class__ is not nn.Flatten or not isinstance(layer, nn.Flatten):
        return False
    return (layer.start_dim, layer.end_dim) == (1, -1)


def _pair(number: int | tuple[int, ...]) -> tuple[int, ...]:
    return (number, number) if isinstance(number, int) else number


def _slots(network: Network) -> dict[int, Slot]:
    """Where each parameter of the module lies, by its identity."""

    slots = {slot.name: slot for slot in network.layout.slots}
    return {id(parameter): slots[name] for name, parameter in network.module.named_parameters()}


def _unfolded(module: nn.Module) -> list[nn.Module]:
    """The layers of a sequence, those of sequences in it included, that do something."""

    if not isinstance(module, nn.Sequential) or module.__class__ is not nn.Sequential:
        return [] if module.__class__ is nn.Identity else [module]
    return [layer for child in module for layer in _unfolded(child)]
