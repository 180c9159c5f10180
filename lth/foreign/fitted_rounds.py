"""Rounds of other programs as vectors of a network: masks are checked, and pruned weights set to 0."""
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lth.errors import LthError, quote
from lth.foreign.forms import ForeignRound, Named
from lth.foreign.tensor_matching import fit_shape, match_names
from lth.models.network import Buffers, Network
from lth.pruning import masks


class Weights(NamedTuple):
    """All parameters (1, N) and buffers (1, ...)."""

    vector: Tensor
    buffers: Buffers


class FittedRound(NamedTuple):
    """A round of one seed: mask (1, P), the state before training, None if it is unknown, and after training. `names`
    has the name in the checkpoint for each tensor of the network.
    """

    mask: Tensor
    start: Weights | None
    trained: Weights
    names: Mapping[str, str]


def fit_round(network: Network, found: ForeignRound, what: str, names: Sequence[str] = ()) -> FittedRound:
    """The round in this network. `what` it is, for messages. LthError that names the tensors which do not fit, and for
    masks that are not 0 or 1, or of another shape than their weights.
    """

    pairs = match_names(network.module, found.trained, what, names)
    mask = _mask(network, found.masks, pairs, what)[None]
    start = None if found.start is None else _weights(network, found.start, pairs, mask, what)
    return FittedRound(mask, start, _weights(network, found.trained, pairs, mask, what), pairs)


def _mask(network: Network, found: Named, pairs: Mapping[str, str], what: str) -> Tensor:
    """The mask (P,): True for weights that are kept, and for those of layers without a mask."""

    own_names = {theirs: own for own, theirs in pairs.items()}
    prunable = {slot.name: torch.ones(slot.shape, dtype=torch.bool) for slot in network.layout.prunable_slots}
    shapes = {slot.name: slot.shape for slot in network.layout.slots}
    for name, mask in found.items():
        kept = _bits(name, mask, what)
        own = own_names.get(name)
        if own is None:
            raise LthError(f'{what}: there is a mask of {quote(name)}, and the network has no such weight. Its tensors '
                           f'are {", ".join(list(own_names)[:5])}, ….')
        fitted = fit_shape(kept, shapes.get(own, ()))
        if fitted is None:
            raise LthError(f'{what}: the mask of {quote(name)} has the shape {tuple(mask.shape)}, and its weight '
                           f'{shapes.get(own, ())}. The file is not the mask of this network.')
        if own in prunable:
            prunable[own] = fitted
        elif not bool(fitted.all()):
            raise LthError(f'{what}: the mask of {quote(name)} prunes a tensor that lth does not prune. lth prunes the '
                           'weights of convolutions and dense layers.')
    return network.layout.pack(prunable)


def _bits(name: str, mask: Tensor, what: str) -> Tensor:
    """The mask as bools; LthError if it has other values than 0 and 1."""

    if not bool(((mask == 0) | (mask == 1)).all()):
        wrong = mask[(mask != 0) & (mask != 1)].flatten()[0].item()
        raise LthError(f'{what}: the mask of {quote(name)} holds {wrong:.6g}. A mask has only 0 and 1: round it before '
                       'it is saved.')
    return mask != 0


def _weights(network: Network, found: Named, pairs: Mapping[str, str], mask: Tensor, what: str) -> Weights:
    """All parameters with pruned weights at 0, and buffers; those that the checkpoint lacks are at their first value.
    """

    parameters = {slot.name: _values(found, pairs[slot.name], slot.shape, what) for slot in network.layout.slots}
    vector = masks.apply_mask(mask, network.layout.pack(parameters)[None])
    buffers = {}
    for name, buffer in network.initial_buffers().items():
        if name in pairs and pairs[name] in found:
            stored = found[pairs[name]]
            buffer = _values(found, pairs[name], tuple(buffer.shape), what) if buffer.is_floating_point() else (
                stored.reshape(buffer.shape).to(buffer.dtype))
        buffers[name] = buffer[None].clone()
    return Weights(vector, buffers)


def _values(found: Named, name: str, shape: tuple[int, ...], what: str) -> Tensor:
    """A tensor as float32 of this shape; LthError if it is missing, of another shape or not finite."""

    if name not in found:
        raise LthError(f'{what} has no tensor {quote(name)}. Give the checkpoint of the same network.')
    fitted = fit_shape(found[name], shape)
    if fitted is None:
        raise LthError(f'{what}: {quote(name)} has the shape {tuple(found[name].shape)}, and the network {shape}. '
                       'Choose the model, its settings and the data set that the checkpoint was trained with.')
    if not fitted.is_floating_point() or not bool(fitted.isfinite().all()):
        raise LthError(f'{what}: {quote(name)} is {fitted.dtype} or has values that are not finite. Give a checkpoint '
                       'whose training did not diverge.')
    return fitted.to(torch.float32)
