"""Rules of operations without weights: activations, pooling, reshaping, sums, concatenation and padding."""
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from lth.exports.compaction.features import VARIES, Feature, Flow
from lth.exports.compaction.rules import Call, rule

_POINTWISE = (
    'ReLU', 'ReLU6', 'LeakyReLU', 'ELU', 'SELU', 'GELU', 'SiLU', 'Tanh', 'Sigmoid', 'Hardswish', 'Hardtanh',
    'Hardsigmoid', 'relu', 'relu_', 'relu6', 'leaky_relu', 'elu', 'selu', 'gelu', 'silu', 'tanh', 'sigmoid',
    'hardswish', 'hardtanh', 'hardsigmoid')
_UNCHANGED = (
    'Dropout', 'Dropout2d', 'Identity', 'dropout', 'contiguous', 'clone', 'MaxPool2d', 'AdaptiveMaxPool2d',
    'AdaptiveAvgPool2d', 'max_pool2d', 'adaptive_avg_pool2d')
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    'add': operator.add, 'iadd': operator.add, 'add_': operator.add, 'sub': operator.sub, 'mul': operator.mul,
    'imul': operator.mul}


@rule(*_POINTWISE)
def _pointwise(_flow: Flow, call: Call) -> Feature | None:
    feature = call.inputs[0]
    return feature._replace(constants=call.apply(feature.constants))


@rule(*_UNCHANGED)
def _unchanged(_flow: Flow, call: Call) -> Feature | None:
    """Channels stay apart, and constants are the same; pooling adds no zeros to what it reads."""

    keeps = call.shape[:2] == call.input_shape[:2] and len(call.shape) == len(call.input_shape)
    return call.inputs[0] if keeps and (call.inputs[0].dim == 1 or call.shape == call.input_shape) else None


@rule('AvgPool2d', 'avg_pool2d')
def _average(_flow: Flow, call: Call) -> Feature | None:
    """The mean of a constant is the constant, unless zeros are added around it."""

    feature, layer = call.inputs[0], call.layer
    if feature.dim != 1:
        return None
    exact = isinstance(layer, nn.AvgPool2d) and layer.padding in (0, (0, 0)) and not layer.ceil_mode
    return feature if exact else feature._replace(constants=_zeros_only(feature.constants))


@rule('mean')
def _mean(_flow: Flow, call: Call) -> Feature | None:
    """The mean over positions."""

    dims = call.node.kwargs.get('dim', call.node.args[1] if len(call.node.args) > 1 else None)
    listed = [dims] if isinstance(dims, int) else dims
    if not isinstance(listed, (list, tuple)) or call.inputs[0].dim != 1:
        return None
    rank = len(call.input_shape)
    return call.inputs[0] if all(isinstance(dim, int) and dim % rank > 1 for dim in listed) else None


@rule('Flatten', 'flatten', 'view', 'reshape')
def _flatten(_flow: Flow, call: Call) -> Feature | None:
    """Features as vectors, in which the positions of a channel are next to each other."""

    feature, images = call.inputs[0], call.input_shape[:1]
    given = call.node.args[1:]
    counts_channels = call.node.target in ('view', 'reshape') and not (
        len(given) == 2 and isinstance(given[0], fx.Node) and given[1] == -1)
    if counts_channels or len(call.shape) != 2 or call.shape[:1] != images or feature.dim != 1:
        return None
    repeats = call.shape[1] // len(feature.numbers)
    numbers, constants = (one.repeat_interleave(repeats) for one in (feature.numbers, feature.constants))
    return Feature(numbers, 1, constants)


@rule(*_ARITHMETIC)
def _arithmetic(flow: Flow, call: Call) -> Feature | None:
    """The sum, difference or product of two features, whose channels become one, or of a feature and a number."""

    values = [_operand(flow, one) for one in call.node.args]
    features = [one for one in values if isinstance(one, Feature)]
    plain = not call.node.kwargs and len(call.shape) == len(call.input_shape)
    if not plain or len(values) != 2 or None in values or not _fit(features):
        return None
    for other in features[1:]:
        flow.channels.join(features[0].numbers, other.numbers)
    name, (first, second) = call.name, map(_constants, values)
    return features[0]._replace(constants=_combined(name, first, second).expand_as(features[0].constants))


def _fit(features: Sequence[Feature]) -> bool:
    """Whether the features have equally many channels in the same dimension."""

    return len({(one.dim, len(one.numbers)) for one in features}) == 1


def _constants(value: Feature | float | None) -> Tensor:
    """The constants of an operand, one for all channels if it is a number."""

    return value.constants if isinstance(value, Feature) else torch.tensor(value, dtype=torch.float64)


def _combined(name: str, first: Tensor, second: Tensor) -> Tensor:
    """Constants of a sum, difference or product. A product with 0 is 0, whatever the other factor is."""

    result: Tensor = _ARITHMETIC[name](first, second)
    return torch.where((first == 0) | (second == 0), 0., result) if name in ('mul', 'imul') else result


@rule('cat')
def _concatenation(flow: Flow, call: Call) -> Feature | None:
    """The channels of all features one after the other."""

    listed, dim = call.node.args[0], call.node.kwargs.get('dim', (*call.node.args[1:], 0)[0])
    operands = map(partial(_operand, flow), listed) if isinstance(listed, (list, tuple)) else ()
    features = list(operands)
    known = [one for one in features if isinstance(one, Feature) and one.dim == dim]
    if not known or len(known) != len(features):
        return None
    return Feature(torch.cat([one.numbers for one in known]), known[0].dim, torch.cat([one.constants for one in known]))


@rule('getitem')
def _part(_flow: Flow, call: Call) -> Feature | None:
    """All channels of some positions, such as `images[..., ::2, ::2]`."""

    index = call.node.args[1]
    if not isinstance(index, tuple) or call.inputs[0].dim != 1 or len(call.shape) != len(call.input_shape):
        return None
    skips = index[0] is Ellipsis and len(index) <= len(call.shape) - 1
    return call.inputs[0] if skips or index[:2] == (slice(None), slice(None)) else None


@rule('pad')
def _padding(flow: Flow, call: Call) -> Feature | None:
    """Zeros around the positions, and new channels of zeros before and after the others."""

    feature, rank = call.inputs[0], len(call.shape)
    sizes = _padded_zeros(call)
    if sizes is None or len(sizes) > 2 * (rank - 1) or feature.dim != 1:
        return None
    around, channels = sizes[:2 * (rank - 2)], sizes[2 * (rank - 2):]
    constants = _zeros_only(feature.constants) if any(around) else feature.constants
    if not any(channels):
        return feature._replace(constants=constants)
    before, after = map(flow.channels.new, channels)
    flow.pads[call.node] = before, after
    new = [torch.zeros(len(one), dtype=torch.float64) for one in (before, after)]
    return Feature(torch.cat([before, feature.numbers, after]), 1, torch.cat([new[0], constants, new[1]]))


def _padded_zeros(call: Call) -> list[int] | None:
    """How many zeros are added before and after, from the last dimension on; None if it may be something else."""

    settings, sizes = call.node.kwargs, call.node.args[1]
    zeros = settings.get('value') in (None, 0) and settings.get('mode') in (None, 'constant')
    if len(call.node.args) > 2 or not zeros or not isinstance(sizes, (list, tuple)):
        return None
    counts = [size for size in sizes if isinstance(size, int) and size >= 0]
    return counts if len(counts) == len(sizes) else None


def _zeros_only(constants: Tensor) -> Tensor:
    return torch.where(constants == 0, constants, VARIES)


def _operand(flow: Flow, value: object) -> Feature | float | None:
    """The feature of an operand, or its value if it is a number; None if it is anything else."""

    if isinstance(value, fx.Node):
        return flow.features.get(value)
    return float(value) if isinstance(value, (int, float)) else None
