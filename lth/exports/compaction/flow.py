"""Follow the channels of a network through the graph of its operations."""
from collections import Counter

import torch
from torch import Tensor, fx, nn

from lth.exports.compaction import function_rules  # pylint: disable=unused-import # registers its rules
from lth.exports.compaction.features import VARIES, Channels, Feature, Flow
from lth.exports.compaction.graph import shape_of
from lth.exports.compaction.layer_rules import LAYERS
from lth.exports.compaction.rules import RULES, Call


def find_flow(traced: fx.GraphModule) -> Flow:
    """The channels of all features of a traced network, and the layers that compute and read them."""

    flow, shared = Flow(Channels()), _shared_layers(traced)
    for node in traced.graph.nodes:
        if node.op == 'placeholder':
            _add_images(flow, node)
        elif node.op == 'output':
            _pin_inputs(flow, node, '')
        elif node.op != 'get_attr':
            _add_call(flow, traced, node, shared)
    return flow


def _add_images(flow: Flow, node: fx.Node) -> None:
    shape = shape_of(node)
    if shape is not None:
        images = Feature(flow.channels.new(shape[1]), 1, torch.full(shape[1:2], VARIES, dtype=torch.float64))
        flow.features[node] = images
        flow.pin(images, '')


def _add_call(flow: Flow, traced: fx.GraphModule, node: fx.Node, shared: set[str]) -> None:
    """Add the feature that an operation computes; if it is not known how, the channels that it reads stay."""

    layer = traced.get_submodule(str(node.target)) if node.op == 'call_module' else None
    name = _name(node, layer)
    inputs = _known_inputs(flow, node)
    rule = RULES.get(name) if str(node.target) not in shared else None
    feature = rule(flow, Call(node, layer, inputs)) if rule and (inputs or name in LAYERS) else None
    if feature is not None:
        flow.features[node] = feature
    elif not _reads_batch_size(node):
        _pin_inputs(flow, node, str(node.target) if layer is not None else name)


def _known_inputs(flow: Flow, node: fx.Node) -> list[Feature]:
    return [flow.features[one] for one in node.all_input_nodes if one in flow.features]


def _pin_inputs(flow: Flow, node: fx.Node, reason: str) -> None:
    for feature in _known_inputs(flow, node):
        flow.pin(feature, reason)


def _name(node: fx.Node, layer: nn.Module | None) -> str:
    """The class of a layer, the name of a function or method."""

    if layer is not None:
        return type(layer).__name__ if type(layer).__module__.startswith('torch.nn') else ''
    return str(node.target if node.op == 'call_method' else getattr(node.target, '__name__', node.target))


def _reads_batch_size(node: fx.Node) -> bool:
    """Whether an operation reads nothing of its input but the number of images: `x.size(0)` or `x.shape[0]`."""

    if node.target == 'size':
        return node.args[1:] == (0,)
    is_shape = node.target is getattr and node.args[1:] == ('shape',)
    return is_shape and all(user.args[1:] == (0,) for user in node.users)


def _shared_layers(traced: fx.GraphModule) -> set[str]:
    """The paths of layers that are called more than once, or whose parameters something else reads too: no channels of
    theirs can be removed.
    """

    uses = Counter[int]()
    for node in traced.graph.nodes:
        if node.op == 'call_module':
            uses.update(map(id, _tensors(traced.get_submodule(node.target))))
        elif node.op == 'get_attr':
            owner, _, leaf = node.target.rpartition('.')
            uses[id(getattr(traced.get_submodule(owner), leaf))] += 1
    return {path for path, layer in traced.named_modules() if any(uses[id(tensor)] > 1 for tensor in _tensors(layer))}


def _tensors(layer: nn.Module) -> list[Tensor]:
    return [*layer.parameters(), *layer.buffers()]
