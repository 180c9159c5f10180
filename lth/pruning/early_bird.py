"""Early birds: how much the masks to which one would prune still change while a network trains.

You et al. 2020 ("Drawing Early-Bird Tickets") prune channels, and stop when the new mask differs in at most a tenth of
all places from each of the last four. For masks of single weights that depends on the density d: two random masks
differ in a share of 2d(1 − d), so distances are also compared with this value.
"""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lth.pruning.tickets import WatchedMasks
from lth.training.state import WATCHED, Differing

# At 50% kept, random masks differ in half of the places, so that 0.2 is the published limit there.
THRESHOLD = 0.2
# A weight's number of masks is stored in 8 bits.
MOST_LEVELS = 250


@dataclass(frozen=True)
class MaskWatch:
    """Masks of the weights of largest magnitude in each part (start, stop) of the vector: `counts` are the numbers of
    weights that each mask keeps in each part, the densest first. A Watch of a task.

    Masks are stored together: for each weight the number of masks that keep it, as all of them have one ranking.
    """

    parts: Sequence[tuple[int, int]]
    counts: Sequence[Sequence[int]]
    recent: Tensor | None = None

    @property
    def densities(self) -> int:
        """Number of masks."""

        return len(self.counts)

    @cached_property
    def masks(self) -> WatchedMasks:
        """How many weights the masks keep, and in how many two random ones with these counts differ on average."""

        sizes = [stop - start for start, stop in self.parts]
        chance = [sum(2 * kept * (size - kept) / size for kept, size in zip(counts, sizes, strict=True))
                  for counts in self.counts]
        return WatchedMasks(tuple(map(sum, self.counts)), tuple(chance))

    def observe(self, weights: Tensor, recent: Tensor | None) -> tuple[Tensor, Differing]:
        """See Watch."""

        present = torch.stack([self.levels(row) for row in weights.cpu()])
        if recent is None:
            return present[:, None], tuple(((),) * self.densities for _ in present)
        differing = tuple(
            tuple(zip(*(differing_weights(new, old, self.densities) for old in olds), strict=True))
            for new, olds in zip(present, recent, strict=True))
        return torch.cat([present[:, None], recent], dim=1)[:, :WATCHED], differing

    def levels(self, weights: Tensor) -> Tensor:
        """For each prunable weight, the number of masks that keep it: (N,) on the CPU -> (P,) uint8."""

        levels = torch.zeros(self.parts[-1][1], dtype=torch.uint8)
        for index, (start, stop) in enumerate(self.parts):
            by_rank = torch.zeros(stop - start, dtype=torch.uint8)
            for counts in self.counts:
                by_rank[:counts[index]] += 1
            order = weights[start:stop].abs().argsort(descending=True, stable=True)
            levels[start:stop][order] = by_rank
        return levels


def emergence(measured: Iterable[tuple[int, Sequence[int]]], limit: float) -> int | None:
    """The first iteration at which a mask differs in at most `limit` weights from each of the last masks before it;
    None if it never does. `measured` are iterations, and in how many weights the mask differs from those before.
    """

    for iteration, differing in measured:
        if len(differing) == WATCHED and max(differing) <= limit:
            return iteration
    return None


def differing_weights(first: Tensor, second: Tensor, densities: int) -> list[int]:
    """In how many weights two masks differ, at each density: of the numbers of masks that keep a weight, (P,) uint8."""

    size = densities + 1
    pairs = torch.bincount(first.long() * size + second.long(), minlength=size * size).view(size, size)
    # The mask at density j keeps the weights that more than j masks keep.
    return [int(pairs[level + 1:, :level + 1].sum() + pairs[:level + 1, level + 1:].sum())
            for level in range(densities)]
