"""Rules of layers with weights: dense layers and convolutions compute new channels, BatchNorm keeps those it reads."""
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth.exports.compaction.features import VARIES, Feature, Flow, Layer
from lth.exports.compaction.rules import Call, rule
from lth.exports.compaction.weights import added_by_constant_channels, added_by_constants, reads

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
# They compute new channels also from features whose channels are not known.
LAYERS = ('Linear', 'Conv1d', 'Conv2d', 'Conv3d')


@rule('Linear')
def _dense(flow: Flow, call: Call) -> Feature | None:
    """New channels in the last dimension."""

    assert isinstance(call.layer, nn.Linear)
    last = len(call.shape) - 1
    feature = next((one for one in call.inputs if one.dim == last), None)
    for other in call.inputs:
        if other is not feature:
            flow.pin(other, call.path)
    folded = feature.constants if feature else torch.full((call.layer.in_features,), VARIES, dtype=torch.float64)
    return _new_channels(flow, call, feature, folded, last)


@rule('Conv1d', 'Conv2d', 'Conv3d')
def _convolution(flow: Flow, call: Call) -> Feature | None:
    """New channels in dimension 1; those of the input if each has a filter of its own."""

    layer, feature = call.layer, next(iter(call.inputs), None)
    assert isinstance(layer, _Convolution)
    if feature is not None and feature.dim != 1:
        return None
    varying = torch.full((layer.in_channels,), VARIES, dtype=torch.float64)
    folded = feature.constants.clone() if feature else varying
    if _pads_with_zeros(layer):
        folded[folded != 0] = VARIES  # another value would be 0 beyond the border
    if layer.groups == 1:
        return _new_channels(flow, call, feature, folded, 1)
    if feature is None or not layer.groups == layer.in_channels == layer.out_channels:
        return None
    constants = _constant_outputs(layer.weight, layer.bias, folded, per_channel=True)
    flow.layers.append(Layer(call.path, feature.numbers, None, folded, per_channel=True))
    return feature._replace(constants=constants)


@rule('BatchNorm1d', 'BatchNorm2d', 'BatchNorm3d')
def _batch_norm(flow: Flow, call: Call) -> Feature | None:
    layer, feature = call.layer, call.inputs[0]
    if not isinstance(layer, _BatchNorm) or layer.running_mean is None or feature.dim != 1:
        return None
    assert layer.running_var is not None
    scale = (layer.running_var.double() + layer.eps).rsqrt()
    constants = (feature.constants - layer.running_mean.double()) * scale
    if layer.affine:
        constants = constants * layer.weight.detach().double()
        constants = torch.where(layer.weight.detach() == 0, 0., constants) + layer.bias.detach().double()
    flow.norms[call.path] = feature.numbers
    return feature._replace(constants=constants)


def _new_channels(flow: Flow, call: Call, feature: Feature | None, folded: Tensor, dim: int) -> Feature:
    """The outputs of a layer, each of which reads all inputs."""

    assert isinstance(call.layer, nn.Linear | _Convolution)
    numbers = flow.channels.new(len(call.layer.weight))
    flow.layers.append(Layer(call.path, numbers, feature.numbers if feature else None, folded))
    return Feature(numbers, dim, _constant_outputs(call.layer.weight, call.layer.bias, folded))


def _constant_outputs(
        weight: Tensor, bias: Tensor | None, folded: Tensor, *, per_channel: bool = False) -> Tensor:
    """The values of the outputs that read no input that varies, NaN for the others: (O,)."""

    known, read = folded.nan_to_num(), reads(weight.detach())
    add = added_by_constant_channels if per_channel else added_by_constants
    values = add(weight.detach(), known)
    varies = read[:, 0] & folded.isnan() if per_channel else (read & folded.isnan()).any(1)
    values = values if bias is None else values + bias.detach().double()
    return torch.where(varies, VARIES, values)


def _pads_with_zeros(layer: _Convolution) -> bool:
    if layer.padding_mode != 'zeros' or layer.padding == 'valid':
        return False
    return layer.padding == 'same' or any(layer.padding)
