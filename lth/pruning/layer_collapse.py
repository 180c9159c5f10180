"""Errors for layers without weights: if a layer is empty, no signal passes through the network."""
import functools
from collections.abc import Callable

from torch import Tensor

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.training.task import Task


def kept_count(layout: Layout, density: float) -> int:
    """⌊density · P⌋; an LthError if a layer would be empty."""

    refuse_too_few(layout, density, functools.partial(masks.floor_share, layout.prunable_count))
    return masks.floor_share(layout.prunable_count, density)


def refuse_too_few(layout: Layout, density: float, count_of: Callable[[float], int]) -> None:
    """Raise an LthError if a density keeps fewer weights than there are layers. `count_of` computes how many it keeps.
    """

    layers, weights = len(layout.prunable_slots), layout.prunable_count
    if count_of(density) >= layers:
        return
    shares = masks.sufficient_shares(weights, layers)
    least = next(share for share in shares if count_of(min(1., share)) >= layers)
    raise LthError(
        f'algorithm.density: {density:.6g} keeps {count_of(density)} of {weights} weights, but each of the {layers} '
        f'layers, such as {layout.prunable_slots[0].name}, needs one: give a density of at least {least:.2g}, '
        f'{100 * least:.2g}% of the weights.')


def refuse_empty_layers(task: Task, mask: Tensor, cause: str, remedy: str) -> None:
    """Raise an LthError if a mask (R, P) leaves a layer without weights that training uses. `cause` says what made the
    mask, `remedy` is the first advice.
    """

    for name, part in task.network.layout.unpack(mask).items():
        kept = part.flatten(1).sum(1)
        if (kept == 0).any() and name not in task.network.unused:
            seed = task.seeds[int(kept.argmin())]
            raise LthError(f'{cause} leaves no weight in {name} (seed {seed}), so that no signal passes through the '
                           f'network. {remedy}; keep more weights; or keep the layer out of pruning: --set '
                           f'algorithm.keep_out={name}.')
