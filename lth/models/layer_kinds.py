"""Which parameters of a module are weights that can be pruned, and of which kind of layer they are.

A tensor that layers share, or that packs several weights, such as the queries, keys and values of attention or the
gates of an LSTM, is one weight: it is pruned, counted and saved once. To add a kind, add its name to `LayerKind` and to
`ExtraKind`, and a case to `_extra_weights`.
"""
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lth.errors import LthError

LayerKind = Literal['convolution', 'dense', 'output', 'recurrent', 'embedding', 'other']
# Kinds that are pruned only if a recipe asks for them.
ExtraKind = Literal['recurrent', 'embedding']


def layer_kinds(
        module: nn.Module, uses: Sequence[str] = (), also_prune: Sequence[ExtraKind] = ()) -> dict[str, LayerKind]:
    """The kind of each weight of a convolution or dense layer, and of the layers in `also_prune`, by the first name of
    its tensor. The convolution or dense layer that comes last in `uses` is the output layer; by default the one that is
    registered last. A tensor of an embedding that is also that of a dense layer is of the kind `dense`. LthError if
    there is no convolution and no dense layer, no layer of a kind in `also_prune`, or a weight that is computed.
    """

    known = {id(parameter): name for name, parameter in module.named_parameters()}
    kinds: dict[str, LayerKind] = {}
    for path, layer in module.named_modules():
        for weight in _weights(layer):
            kinds[_name(known, weight, path, module)] = 'convolution' if isinstance(layer, _ConvNd) else 'dense'
    if not kinds:
        raise LthError(f'{type(module).__name__} has no convolution and no dense layer, so there is nothing to prune.')
    used = [name for name in uses if name in kinds]
    kinds[(used or list(kinds))[-1]] = 'output'
    for kind in also_prune:
        kinds |= _extra_kinds(module, kind, known, kinds)
    return kinds


def available_kinds(module: nn.Module) -> list[ExtraKind]:
    """The kinds that a recipe could ask for, as the module has such layers."""

    kinds: tuple[ExtraKind, ...] = get_args(ExtraKind)
    return [kind for kind in kinds if any(_extra_weights(layer, kind) for layer in module.modules())]


def _extra_kinds(
        module: nn.Module, kind: ExtraKind, known: Mapping[int, str], kinds: Mapping[str, LayerKind],
) -> dict[str, LayerKind]:
    """The weights of the layers of a kind that are not weights of other kinds already."""

    weights = [(path, weight) for path, layer in module.named_modules() for weight in _extra_weights(layer, kind)]
    if not weights:
        raise LthError(f'also_prune: {type(module).__name__} has no {kind} layer. Leave {kind} out.')
    names = [_name(known, weight, path, module) for path, weight in weights]
    return {name: kind for name in names if name not in kinds}


def _name(known: Mapping[int, str], weight: Tensor, path: str, module: nn.Module) -> str:
    """The name of a weight; LthError if it is not a parameter."""

    if id(weight) not in known:
        raise LthError(f'{type(module).__name__}: the weight of {path} is computed from other parameters, by '
                       'weight_norm or another parametrization, so it cannot be pruned. Remove the parametrization.')
    return known[id(weight)]


def _weights(layer: nn.Module) -> list[Tensor]:
    """The weights of a convolution, a dense layer or an attention layer."""

    if isinstance(layer, (_ConvNd, nn.Linear)):
        return [layer.weight]
    if isinstance(layer, nn.MultiheadAttention):
        # The weights of its projections of queries, keys and values are one tensor, or three if their widths differ.
        projections = (layer.in_proj_weight, layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
        return [weight for weight in projections if weight is not None]
    return []


def _extra_weights(layer: nn.Module, kind: ExtraKind) -> list[Tensor]:
    """The weights of a layer of this kind. Those of a recurrent layer have the rows of all its gates."""

    if kind == 'embedding':
        return [layer.weight] if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) else []
    if isinstance(layer, nn.RNNCellBase):
        return [layer.weight_ih, layer.weight_hh]
    tensors = layer.all_weights if isinstance(layer, nn.RNNBase) else []
    return [tensor for group in tensors for tensor in group if tensor.dim() > 1]  # without the biases
