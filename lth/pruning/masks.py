"""Exact selection. A mask is a vector of bools over the prunable weights: True is kept.

Counts are integers and always met: no thresholds, so ties cannot take one weight too many. Among equal scores those
that win are drawn by a seeded permutation of their positions.
"""
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from lth import rng

_PARTS = 10_000  # more than any network has layers: tells draws of a round's apart


def remaining_count(count: int, rate: float) -> int:
    """How many of `count` stay when floor(rate · count) go."""

    return count - floor_share(count, rate)


def floor_share(count: int, share: float) -> int:
    """floor(share · count), the share taken as the decimal number that was written."""

    return int(Fraction(repr(share)) * count)


def smallest_share(count: int, wanted: int) -> float:
    """The smallest share of two digits of which `portion` makes at least `wanted` of `count`."""

    unit = Fraction(10) ** (math.floor(math.log10(wanted / count)) - 1)
    return float(math.ceil(Fraction(wanted, count) / unit) * unit)


def keep_best(scores: Tensor, mask: Tensor, count: int, *, seeds: Sequence[int], salt: int = 0) -> Tensor:
    """Keeps the `count` best-scored survivors: (R, P), (R, P) -> (R, P). Exact even when scores tie; revives no weight.

    Ties are broken by the seed of each replicate; `salt` tells draws of one seed apart (round, layer).
    """

    rows = [_keep_best(row, alive, count, rng.generator(seed, 'ties', salt))
            for row, alive, seed in zip(scores.cpu(), mask.cpu(), seeds, strict=True)]
    return torch.stack(rows).to(mask.device)


def keep_worst(scores: Tensor, mask: Tensor, count: int, *, seeds: Sequence[int], salt: int = 0) -> Tensor:
    """Keeps the `count` survivors that are left when the best-scored others are taken away: the two have nothing in
    common, also where scores tie.
    """

    others = int(mask[0].sum()) - count
    return mask & ~keep_best(scores, mask, others, seeds=seeds, salt=salt)


def keep_best_per_part(
        scores: Tensor, mask: Tensor, bounds: Sequence[tuple[int, int]], counts: Sequence[int], *,
        seeds: Sequence[int], number: int) -> Tensor:
    """The same in round `number` with a count for each part of the vector, be it a layer or all of it."""

    return torch.cat([
        keep_best(scores[:, start:stop], mask[:, start:stop], count, seeds=seeds, salt=number * _PARTS + part)
        for part, ((start, stop), count) in enumerate(zip(bounds, counts, strict=True))], dim=1)


def random_mask(sizes: Sequence[int], counts: Sequence[int], *, seeds: Sequence[int]) -> Tensor:
    """Keeps exactly `counts` weights of layers of these sizes, at random positions of each: -> (R, P). Each replicate's
    seed draws its own.
    """

    return torch.stack([
        torch.cat([_random_choice(size, count, rng.generator(seed, 'mask', layer))
                   for layer, (size, count) in enumerate(zip(sizes, counts, strict=True))])
        for seed in seeds])


def apply_mask(mask: Tensor, weights: Tensor) -> Tensor:
    """Weights with the pruned ones 0: (R, P), (R, N) -> (R, N)."""

    count = mask.shape[1]
    return torch.cat([weights[:, :count] * mask, weights[:, count:]], 1)


def _keep_best(scores: Tensor, mask: Tensor, count: int, ties: torch.Generator) -> Tensor:
    values = scores if mask.all() else scores[mask]
    if not 0 <= count <= len(values):
        raise ValueError(f'cannot keep {count} of {len(values)} weights')
    if values.isnan().any():
        raise ValueError('a score is not a number')
    if count == 0:
        return torch.zeros_like(mask)
    # numpy selects the last winner in 0.1 s of 25 million, torch.kthvalue in 0.45.
    last = len(values) - count
    worst = float(np.partition(values.numpy(), last)[last])
    winners, level = (scores > worst) & mask, (scores == worst) & mask
    missing = count - int(torch.count_nonzero(winners))
    return winners.masked_scatter_(level, _random_choice(int(torch.count_nonzero(level)), missing, ties))


def _random_choice(size: int, count: int, random: torch.Generator) -> Tensor:
    """A random choice of `count` of `size`, as bools: (size,). Half the time of a permutation."""

    if count == size:
        return torch.ones(size, dtype=torch.bool)
    # Random numbers, made different from one another by the position in their lowest bits.
    bits = size.bit_length()
    keys = torch.randint(0, 1 << (63 - bits), (size,), generator=random).bitwise_left_shift_(bits)
    keys += torch.arange(size)
    return keys < int(np.partition(keys.numpy(), count)[count])
