"""Groups of channels: which dimensions of which parameters list the same channels, so that they are permuted together.

A network computes the same function if the outputs of a layer are permuted together with all that reads them: BatchNorm
after it and the inputs of the next layers. Where features are added, as by shortcuts, the layers before and after the
sum share one permutation. Inputs of the network and its logits cannot be permuted. For example, LeNet-300-100 has two
groups: the 300 units of dense1 are its rows, its biases and the columns of dense2.

The groups are found by running the network once. To add a function of torch, add its name to one of the sets below, or
a method to `_Tracer`.
"""
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from lth import rng
from lth.errors import LthError
from lth.models.network import Network
from lth.registry import user_code

# Functions that keep channels apart: each output channel depends on one input channel only.
_POINTWISE = {
    'relu', 'relu_', 'relu6', 'hardtanh', 'leaky_relu', 'elu', 'selu', 'gelu', 'silu', 'tanh', 'sigmoid', 'hardswish'}
_PER_CHANNEL = _POINTWISE | {
    'max_pool2d', 'avg_pool2d', 'adaptive_avg_pool2d', 'adaptive_max_pool2d', 'dropout', 'dropout2d', 'contiguous',
    'clone', 'to', 'float', 'double', 'detach'}
_ELEMENTWISE = {'add', 'add_', '__add__', '__radd__', '__iadd__', 'sub', '__sub__', 'mul', '__mul__', '__rmul__'}
_RESHAPE = {'flatten', 'view', 'reshape', 'squeeze'}


class Axis(NamedTuple):
    """Dimension `dim` of a tensor: every channel of the group is `repeats` entries one after the other, as many as a
    channel has pixels where features are flattened.
    """

    name: str
    dim: int
    repeats: int


class ChannelGroup(NamedTuple):
    """Channels that are permuted together, `size` of them, and all dimensions that list them. `layer` is the first
    parameter of the group. The features to compare are the output of the function of torch with this `number`, counted
    from the start of a forward pass: the last activation of the group.
    """

    layer: str
    size: int
    axes: tuple[Axis, ...]
    number: int


class _Channels:
    """The channels of a tensor's dimension 1, of a group that may have been merged into another one."""

    def __init__(self, size: int, layer: str, *, fixed: bool) -> None:
        self.size, self.layer, self.fixed = size, layer, fixed
        self.axes: list[Axis] = []
        self.number, self.activated = -1, False
        self._merged: _Channels | None = None

    def root(self) -> '_Channels':
        """The group into which this one was merged."""

        return self._merged.root() if self._merged else self

    def merge(self, other: '_Channels') -> None:
        """Let both be one group."""

        other.axes += self.axes
        other.fixed |= self.fixed
        later = (self.activated, self.number) > (other.activated, other.number)
        if later:
            other.number, other.activated = self.number, self.activated
        self._merged = other


class _Feature(NamedTuple):
    channels: _Channels
    repeats: int


def channel_groups(network: Network) -> list[ChannelGroup]:
    """The groups of a network, in the order of execution. LthError, with the layer and the reason, if channels are
    computed in a way for which it is not known how permutations carry over.
    """

    weights = network.initial_weights(0)
    tensors = {**network.layout.unpack(weights), **network.initial_buffers()}
    images = torch.zeros(2, *network.shape)
    tracer = _Tracer(network, tensors)
    with torch.no_grad(), rng.seeded_globals(0), user_code.guard(network.settings.name):
        # Features of two images differ in no way that matters, and a batch of one may be squeezed.
        tracer.start(images)
        with tracer:
            logits = functional_call(network.module, tensors, (images,))
    tracer.finish(logits)
    return [ChannelGroup(group.layer, group.size, tuple(group.axes), group.number) for group in tracer.groups()]


class FunctionCounter(TorchFunctionMode):
    """A context that numbers the functions of torch that return a tensor, and calls `on_output` with each."""

    def __init__(self, on_output: Callable[[int, Tensor], None]) -> None:
        super().__init__()
        self._on_output, self._count = on_output, 0

    def __torch_function__(
            self, func: Callable[..., Any], types: Iterable[Any], args: tuple[Any, ...] = (),
            kwargs: Mapping[str, Any] | None = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor):
            self._on_output(self._count, output)
            self._count += 1
        return output


class _Tracer(TorchFunctionMode):
    """A context that follows the channels of features through a forward pass."""

    def __init__(self, network: Network, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._model = network.settings.name
        self._names = {id(tensor): name for name, tensor in tensors.items()}
        self._features: dict[int, _Feature] = {}
        self._alive: list[Tensor] = []  # an id is that of another tensor once a tensor is deleted
        self._groups: list[_Channels] = []
        self._count, self._last = 0, 'the input'

    def start(self, images: Tensor) -> None:
        """Follow the channels of the images, which cannot be permuted."""

        self._follow(images, _Feature(_Channels(images.shape[1], 'the input', fixed=True), 1))

    def finish(self, logits: Tensor) -> None:
        """Hold the logits, each of which is a class."""

        feature = self._features.get(id(logits))
        if feature is None:
            raise self._refusal('the logits are computed from its features in an unknown way')
        feature.channels.root().fixed = True

    def groups(self) -> list[_Channels]:
        """The groups that can be permuted."""

        return [group for group in self._groups if group.root() is group and not group.fixed]

    def __torch_function__(
            self, func: Callable[..., Any], types: Iterable[Any], args: tuple[Any, ...] = (),
            kwargs: Mapping[str, Any] | None = None) -> Any:
        options = kwargs or {}
        output = func(*args, **options)
        if isinstance(output, Tensor):
            inputs = [value for value in args if isinstance(value, Tensor) and id(value) in self._features]
            if inputs:
                self._carry(getattr(func, '__name__', str(func)), args, options, inputs, output)
            self._count += 1
        return output

    def _carry(
            self, name: str, args: Sequence[Any], options: Mapping[str, Any], inputs: Sequence[Tensor],
            output: Tensor) -> None:
        """Find the channels of the output of a function."""

        feature = self._features[id(inputs[0])]
        keeps_channels = name in _PER_CHANNEL or (name == 'mean' and output.shape[:2] == inputs[0].shape[:2])
        if name in ('linear', 'conv2d'):
            feature = self._layer(name, args, options, feature)
        elif name == 'batch_norm':
            self._add_vectors([*args[1:], *options.values()], feature)
        elif name in _ELEMENTWISE:
            feature = self._joined(name, args, inputs)
        elif name in _RESHAPE:
            feature = self._flattened(name, inputs[0], output, feature)
        elif not keeps_channels:
            raise self._refusal(f'it is not known how {name} carries the channels of its output')
        self._follow(output, feature)
        self._measure_at(feature.channels.root(), activates=name in _POINTWISE)

    def _measure_at(self, group: _Channels, *, activates: bool) -> None:
        """Let the features of a group be the output of this function, if it is its last activation so far."""

        if activates or not group.activated:
            group.number, group.activated = self._count, group.activated or activates

    def _layer(
            self, name: str, args: Sequence[Any], options: Mapping[str, Any], feature: _Feature) -> _Feature:
        """The output of a dense layer or convolution, a new group; that of one filter per channel keeps its group."""

        given = dict(zip(('input', 'weight', 'bias', 'stride', 'padding', 'dilation', 'groups'), args)) | dict(options)
        weight, parts = given['weight'], given.get('groups', 1) if name == 'conv2d' else 1
        layer = self._names.get(id(weight))
        if layer is None:
            raise self._refusal(f'the weights of the {name} after it are computed')
        self._last = layer
        if parts == 1:
            feature.channels.root().axes.append(Axis(layer, 1, feature.repeats))
            feature = _Feature(_Channels(len(weight), layer, fixed=False), 1)
            self._groups.append(feature.channels)
        elif not parts == len(weight) == given['input'].shape[1]:
            raise self._refusal('its filters read groups of several channels')
        feature.channels.root().axes.append(Axis(layer, 0, 1))
        self._add_vectors([given.get('bias')], feature)
        return feature

    def _add_vectors(self, tensors: Sequence[Any], feature: _Feature) -> None:
        """Add the parameters and buffers of a layer that have one entry for each channel."""

        for tensor in tensors:
            if isinstance(tensor, Tensor) and id(tensor) in self._names:
                feature.channels.root().axes.append(Axis(self._names[id(tensor)], 0, feature.repeats))
                self._last = self._names[id(tensor)]

    def _joined(self, name: str, args: Sequence[Any], inputs: Sequence[Tensor]) -> _Feature:
        """The sum or product of features, whose channels are one group from then on."""

        self._refuse_other_tensors(name, args)
        first, *more = (self._features[id(value)] for value in inputs)
        for other in more:
            one, two = other.channels.root(), first.channels.root()
            if one.size != two.size or other.repeats != first.repeats:
                raise self._refusal(f'{name} combines {one.size} channels with {two.size}')
            if one is not two:
                one.merge(two)
        return first

    def _refuse_other_tensors(self, name: str, args: Sequence[Any]) -> None:
        """LthError if features are combined with a tensor that is not a number and has no channels."""

        for value in args:
            if isinstance(value, Tensor) and id(value) not in self._features and value.numel() > 1:
                raise self._refusal(f'{name} combines its features with {self._names.get(id(value), "a tensor")}')

    def _flattened(self, name: str, features: Tensor, output: Tensor, feature: _Feature) -> _Feature:
        """Features as vectors, in which the pixels of a channel are next to each other."""

        if output.shape[:2] == features.shape[:2]:
            return feature
        if output.dim() != 2 or len(output) != len(features):
            raise self._refusal(f'{name} changes its features to the shape {tuple(output.shape)}')
        return _Feature(feature.channels, feature.repeats * math.prod(features.shape[2:]))

    def _follow(self, tensor: Tensor, feature: _Feature) -> None:
        self._features[id(tensor)] = feature
        self._alive.append(tensor)

    def _refusal(self, reason: str) -> LthError:
        return LthError(f'The channels of {self._model} cannot be aligned: after {self._last}, {reason}. Networks of '
                        'dense layers, convolutions, normalization and sums can be.')
