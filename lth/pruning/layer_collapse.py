"""No layer is emptied silently: without a weight in one of its layers a network is cut in two."""
import functools
import itertools
import math
from collections.abc import Callable

from torch import Tensor

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.training.task import Task


def kept_count(layout: Layout, density: float) -> int:
    """⌊density · P⌋; an LthError if a layer must be empty."""

    refuse_too_few(layout, density, functools.partial(masks.floor_share, layout.prunable_count))
    return masks.floor_share(layout.prunable_count, density)


def refuse_too_few(layout: Layout, density: float, counted: Callable[[float], int]) -> None:
    """An LthError if a density keeps, as `counted`, too few weights for every layer to have one."""

    layers, weights = len(layout.prunable_slots), layout.prunable_count
    if counted(density) >= layers:
        return
    # The least density of two digits.
    unit = 10. ** (math.floor(math.log10(layers / weights)) - 1)
    shares = (float(f'{digits * unit:.2g}') for digits in itertools.count(math.ceil(layers / weights / unit)))
    least = next(share for share in shares if counted(min(1., share)) >= layers)
    raise LthError(
        f'algorithm.density: {density:.6g} keeps {counted(density)} of {weights} weights, but each of the {layers} '
        f'layers, such as {layout.prunable_slots[0].name}, needs one: give a density of at least {least:.2g} '
        f'(--sparsity {100 * least:.2g}).')


def refuse_empty_layers(task: Task, mask: Tensor, what: str, mend: str) -> None:
    """An LthError if a layer has no weight left; `what` did it, and `mend` is the first of the ways to mend it."""

    for name, part in task.network.layout.unpack(mask).items():
        alive = part.flatten(1).sum(1)
        if (alive == 0).any():
            seed = task.seeds[int(alive.argmin())]
            raise LthError(f'{what} leaves no weight in {name} (seed {seed}), and so cuts the network in two. {mend}; '
                           f'keep more weights; or keep the layer out: --set algorithm.keep_out={name}.')
