"""How many weights two masks of a run have in common, compared with random masks."""
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from lth.runs.folder import Run


class MaskOverlap(NamedTuple):
    """The weights that both of two masks keep, as a share of those that at least one keeps; `chance` is the share for
    random masks of the same densities.
    """

    seeds: tuple[int, int]
    rounds: tuple[int, int]
    shared: float
    chance: float


def mask_overlaps(run: Run, rounds: Sequence[int]) -> Iterator[MaskOverlap]:
    """The overlap of the masks of two seeds in the same round, and of one seed in two rounds."""

    masks = {(seed, number): run.load_mask(seed, number)[0] for seed in run.seeds() for number in rounds}
    for ((seed, number), mask), ((other_seed, other_number), other) in itertools.combinations(masks.items(), 2):
        if seed == other_seed or number == other_number:
            yield MaskOverlap((seed, other_seed), (number, other_number), *mask_overlap(mask, other))


def mask_overlap(mask: Tensor, other: Tensor) -> tuple[float, float]:
    """Intersection over union of two masks, and its value for random masks of the same densities."""

    intersection, union = int((mask & other).sum()), int((mask | other).sum())
    densities = int(mask.sum()) / len(mask), int(other.sum()) / len(other)
    both = math.prod(densities)
    chance = both / (sum(densities) - both) if both else 0.
    return intersection / union if union else 1., chance
