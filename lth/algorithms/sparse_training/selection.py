"""What is dropped and what grows in one layer of one network, in exact numbers; and pruning of the whole network.

Shapes: n weights of the layer. Ties are broken by the random generator, which is different for each event and layer.
"""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth import rng
from lth.models.flat_parameters import Slot

# A random selection draws positions until enough are free, if at least one of so many is.
_RARE = 4
# Of the sample by which the largest scores are found.
_STRIDE, _MARGIN = 64, 16


class LayerEvent(NamedTuple):
    """A layer at an event, on the CPU: its weights, which of them are active, (n,) each, the gradient (n,) if the
    method takes one, and a random generator.
    """

    weights: Tensor
    active: Tensor
    gradient: Tensor | None
    random: torch.Generator


# (layer, count) -> the active weights without `count` of them: (n,) bools.
Drop = Callable[[LayerEvent, int], Tensor]
# (layer, weights that stay active (n,), count) -> `count` of the others: (n,) bools.
Grow = Callable[[LayerEvent, Tensor, int], Tensor]


def smallest(layer: LayerEvent, count: int) -> Tensor:
    """Drop the active weights of smallest magnitude."""

    positions = layer.active.nonzero()[:, 0]
    kept = largest(layer.weights[positions].abs(), len(positions) - count, layer.random)
    return mask_at(positions[kept], len(layer.active))


def random(layer: LayerEvent, kept: Tensor, count: int) -> Tensor:
    """Grow random weights among all that did not stay active, each with the same probability."""

    size = len(kept)
    free = size - int(torch.count_nonzero(kept))
    if free * _RARE < size or count * _RARE > free:
        positions = (~kept).nonzero()[:, 0]
        return mask_at(rng.shuffle(positions, layer.random)[:count], size)
    grown = torch.zeros_like(kept)
    while missing := count - int(torch.count_nonzero(grown)):
        # Those that are taken are drawn again one by one, so every set of `count` free weights is equally likely.
        drawn = torch.randint(size, (missing,), generator=layer.random)
        grown[drawn] = True
        grown &= ~kept
    return grown


def largest_gradient(layer: LayerEvent, kept: Tensor, count: int) -> Tensor:
    """Grow the weights of largest absolute gradient among all that did not stay active."""

    assert layer.gradient is not None
    scores = layer.gradient.abs().masked_fill_(kept, -1)
    return mask_at(largest(scores, count, layer.random), len(kept))


def largest(scores: Tensor, count: int, random_: torch.Generator) -> Tensor:
    """The positions of the `count` largest scores, in any order: (n,) -> (count,)."""

    if not 0 < count < len(scores):
        return torch.arange(len(scores))[:count]
    values = scores.numpy()
    positions = _likely(values, count)
    if positions is not None:
        values = values[positions]
    smallest_kept = np.partition(values, len(values) - count)[len(values) - count]
    above, ties = np.flatnonzero(values > smallest_kept), np.flatnonzero(values == smallest_kept)
    missing = count - len(above)
    if missing < len(ties):
        ties = ties[torch.randperm(len(ties), generator=random_)[:missing].numpy()]
    found = np.concatenate([above, ties])
    return torch.from_numpy(found if positions is None else positions[found])


def _likely(values: NDArray[Any], count: int) -> NDArray[np.int64] | None:
    """The positions of all values from a threshold on that at least `count` values reach; None if none was found.

    The threshold is taken from every 64th value. To select 235 of 235,200 values among these takes a tenth of the time.
    """

    sample = values[::_STRIDE]
    wanted = 2 * count // _STRIDE + _MARGIN
    if wanted * 2 > len(sample):
        return None
    threshold = np.partition(sample, len(sample) - wanted)[len(sample) - wanted]
    positions = np.flatnonzero(values >= threshold)
    return positions if len(positions) >= count else None


def mask_at(positions: Tensor, size: int) -> Tensor:
    """The mask (n,) of these positions."""

    mask = torch.zeros(size, dtype=torch.bool)
    mask[positions] = True
    return mask


def largest_of_network(
        weights: Tensor, mask: Tensor, slots: Sequence[Slot], count: int, random_: torch.Generator) -> Tensor:
    """The `count` active weights of largest magnitude in the whole network, and at least one of each layer: (P,), (P,)
    -> (P,).
    """

    scores = torch.where(mask, weights.abs(), -1.)
    for slot in slots:
        part = scores[slot.start:slot.stop]
        part[part.argmax()] = torch.inf
    return mask_at(largest(scores, count, random_), len(mask))
