"""Layers without weights: if a layer is empty, no signal passes through it. Errors, and the words of all messages."""
import functools
from collections.abc import Callable, Sequence

from torch import Tensor

from lth.errors import LthError, number_ranges
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.training.task import Task

# As many layers are named in a message.
_MOST_NAMED = 5


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
            raise LthError(f'{cause} leaves {empty_words([name], [seed])}. {remedy}; keep more weights; or keep the '
                           f'layer out of pruning: --set algorithm.keep_out={name}.')


def empty_words(layers: Sequence[str], seeds: Sequence[int]) -> str:
    """What follows from layers without weights in these seeds, after `leaves`."""

    more = len(layers) - _MOST_NAMED
    names = ', '.join(layers[:_MOST_NAMED]) + (f' and {more} more' if more > 0 else '')
    through = 'them' if len(layers) > 1 else 'it'
    return (f'no weight in {names} (seed{"s" * (len(seeds) > 1)} {number_ranges(seeds)}), so that no signal passes '
            f'through {through}')
