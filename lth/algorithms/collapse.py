"""No layer is emptied silently: without a weight in one of its layers a network is cut in two."""
from torch import Tensor

from lth import masks
from lth.errors import LthError
from lth.task import Task
from lth.vectors import Layout


def refuse_too_few(layout: Layout, kept: int, density: float) -> None:
    """An LthError if a density keeps fewer weights than there are layers."""

    layers = len(layout.prunable_slots)
    if kept < layers:
        least = masks.least_share(layout.prunable, layers)
        raise LthError(
            f'algorithm.density: {density:.6g} keeps {kept} of {layout.prunable} weights, but each of '
            f'the {layers} layers, such as {layout.prunable_slots[0].name}, needs one: give a density of at least '
            f'{least:.2g} (--sparsity {100 * least:.2g}).')


def refuse_empty_layers(task: Task, mask: Tensor, what: str, mend: str) -> None:
    """An LthError if a layer has no weight left; `what` did it, and `mend` is the first of the ways to mend it."""

    for name, part in task.network.layout.unpack(mask).items():
        alive = part.flatten(1).sum(1)
        if (alive == 0).any():
            seed = task.seeds[int(alive.argmin())]
            raise LthError(f'{what} leaves no weight in {name} (seed {seed}), and so cuts the network in two. {mend}; '
                           f'keep more weights; or keep the layer out: --set algorithm.keep_out={name}.')
