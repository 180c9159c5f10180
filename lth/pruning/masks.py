"""Exact selection of weights. A mask is a vector of bools over the prunable weights: True is kept.

Counts are integers and are always met exactly: no thresholds are used, so that equal scores cannot keep one weight too
many. Which of several equal scores are kept is decided by a seeded random permutation.
"""
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from lth import rng

_PARTS = 10_000  # more than any network has layers: separates the random numbers of different rounds


def remaining_count(count: int, rate: float) -> int:
    """How many of `count` weights remain when floor(rate · count) are removed."""

    return count - floor_share(count, rate)


def floor_share(count: int, share: float) -> int:
    """floor(share · count), where the share is the decimal number that the user wrote."""

    return int(Fraction(repr(share)) * count)


def sufficient_shares(count: int, wanted: int) -> Iterator[float]:
    """The shares with two digits for which `floor_share` gives at least `wanted` of `count`, in increasing order."""

    unit = Fraction(10) ** (math.floor(math.log10(wanted / count)) - 1)
    return (float(digits * unit) for digits in itertools.count(math.ceil(Fraction(wanted, count) / unit)))


def keep_best(scores: Tensor, mask: Tensor, count: int, *, seeds: Sequence[int], salt: int = 0) -> Tensor:
    """Keep the `count` weights of the mask with the largest scores: (R, P), (R, P) -> (R, P). Pruned weights stay
    pruned.

    Ties are broken by random numbers of each replicate's seed; `salt` makes them different for each round and layer.
    """

    rows = [_keep_best_row(row_scores, row_mask, count, rng.generator(seed, 'ties', salt))
            for row_scores, row_mask, seed in zip(scores.cpu(), mask.cpu(), seeds, strict=True)]
    return torch.stack(rows).to(mask.device)


def keep_worst(scores: Tensor, mask: Tensor, count: int, *, seeds: Sequence[int], salt: int = 0) -> Tensor:
    """Keep the `count` weights that remain when `keep_best` selects all others, so that the two selections have nothing
    in common even if scores tie.
    """

    others = int(mask[0].sum()) - count
    return mask & ~keep_best(scores, mask, others, seeds=seeds, salt=salt)


def keep_best_per_part(
        scores: Tensor, mask: Tensor, bounds: Sequence[tuple[int, int]], counts: Sequence[int], *,
        seeds: Sequence[int], number: int) -> Tensor:
    """`keep_best` in round `number`, with a count for each part (start, stop) of the vector: each layer, or all."""

    return torch.cat([
        keep_best(scores[:, start:stop], mask[:, start:stop], count, seeds=seeds, salt=number * _PARTS + part)
        for part, ((start, stop), count) in enumerate(zip(bounds, counts, strict=True))], dim=1)


def random_mask(sizes: Sequence[int], counts: Sequence[int], *, seeds: Sequence[int]) -> Tensor:
    """A mask that keeps exactly `counts` weights, at random positions, of layers of these sizes: (R, P)."""

    return torch.stack([
        torch.cat([_random_selection(size, count, rng.generator(seed, 'mask', layer))
                   for layer, (size, count) in enumerate(zip(sizes, counts, strict=True))])
        for seed in seeds])


def shuffle_mask(mask: Tensor, seeds: Sequence[int], stream: str, *numbers: int) -> Tensor:
    """The mask of each seed shuffled over the whole network: (R, P) -> (R, P)."""

    return torch.stack([
        rng.shuffle(row, rng.generator(seed, stream, *numbers)) for row, seed in zip(mask, seeds, strict=True)])


def apply_mask(mask: Tensor, weights: Tensor) -> Tensor:
    """The weights with pruned ones set to 0: (R, P), (R, N) -> (R, N)."""

    count = mask.shape[1]
    return torch.cat([weights[:, :count] * mask, weights[:, count:]], 1)


def _keep_best_row(scores: Tensor, mask: Tensor, count: int, random: torch.Generator) -> Tensor:
    values = scores if mask.all() else scores[mask]
    if not 0 <= count <= len(values):
        raise ValueError(f'cannot keep {count} of {len(values)} weights')
    if values.isnan().any():
        raise ValueError('a score is not a number')
    if count == 0:
        return torch.zeros_like(mask)
    # numpy selects the smallest kept score of 25 million in 0.1 s, torch.kthvalue in 0.45 s.
    index = len(values) - count
    smallest = float(np.partition(values.numpy(), index)[index])
    above, ties = (scores > smallest) & mask, (scores == smallest) & mask
    missing = count - int(torch.count_nonzero(above))
    return above.masked_scatter_(ties, _random_selection(int(torch.count_nonzero(ties)), missing, random))


def _random_selection(size: int, count: int, random: torch.Generator) -> Tensor:
    """`count` randomly selected of `size` positions, as bools: (size,). Takes half the time of a permutation."""

    if count == size:
        return torch.ones(size, dtype=torch.bool)
    # Random numbers, made unique by the position in their lowest bits.
    bits = size.bit_length()
    keys = torch.randint(0, 1 << (63 - bits), (size,), generator=random).bitwise_left_shift_(bits)
    keys += torch.arange(size)
    return keys < int(np.partition(keys.numpy(), count)[count])
