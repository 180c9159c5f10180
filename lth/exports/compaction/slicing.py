"""Remove channels from the layers of a network."""
import copy
from typing import NamedTuple

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth.exports.compaction.features import Flow, Layer
from lth.exports.compaction.removal import Kept
from lth.exports.compaction.weights import added_by_constants, as_constants

_Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


class LayerSize(NamedTuple):
    """Outputs of a layer, and how many of them are left."""

    layer: str
    outputs: int
    left: int


def slice_layers(traced: fx.GraphModule, flow: Flow, kept: Kept) -> tuple[fx.GraphModule, list[LayerSize]]:
    """A copy of a traced network with only the channels that stay, and the sizes of its layers. Channels that were
    removed although they are read are constant: the biases of their readers take them over.
    """

    sliced = copy.deepcopy(traced)
    sizes = []
    for layer in flow.layers:
        sizes.append(LayerSize(layer.path, len(layer.outputs), int(kept(layer.outputs).sum())))
        _slice_weighted(sliced.get_submodule(layer.path), layer, kept)
    for path, numbers in flow.norms.items():
        _slice_norm(sliced.get_submodule(path), kept(numbers))
    copies = dict(zip(traced.graph.nodes, sliced.graph.nodes, strict=True))
    for node, sides in flow.pads.items():
        _slice_pad(copies[node], *(int(kept(side).sum()) for side in sides))
    return sliced, sizes


def _slice_weighted(module: nn.Module, layer: Layer, kept: Kept) -> None:
    assert isinstance(module, _Weighted)
    outputs, weight = kept(layer.outputs), module.weight.detach()
    bias = None if module.bias is None else module.bias.detach()[outputs]
    weight = weight[outputs]
    if layer.inputs is not None:
        inputs = kept(layer.inputs)
        folded = added_by_constants(weight, as_constants(layer.folded, inputs))
        if folded.any():
            total = folded if bias is None else bias.double() + folded
            bias = total.to(weight.dtype)
        weight = weight[:, inputs]
    module.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    module.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    _set_sizes(module, int(outputs.sum()), per_channel=layer.per_channel)


def _set_sizes(module: _Weighted, outputs: int, *, per_channel: bool) -> None:
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
        return
    module.out_channels, module.in_channels = outputs, module.weight.shape[1]
    if per_channel:
        module.in_channels = module.groups = outputs


def _slice_norm(module: nn.Module, stays: Tensor) -> None:
    assert isinstance(module, _BatchNorm)
    assert module.running_mean is not None and module.running_var is not None
    module.num_features = int(stays.sum())
    module.running_mean, module.running_var = module.running_mean[stays], module.running_var[stays]
    if module.affine:
        module.weight = nn.Parameter(module.weight.detach()[stays], requires_grad=False)
        module.bias = nn.Parameter(module.bias.detach()[stays], requires_grad=False)


def _slice_pad(node: fx.Node, before: int, after: int) -> None:
    """Let a padding add so many channels before and after the others."""

    images, sizes = node.args
    assert isinstance(sizes, (list, tuple))
    places = len(sizes) - 2
    node.args = images, (*sizes[:places], before, after)
