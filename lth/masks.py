"""Exact selection. A mask is a vector of bools over the prunable weights: True is kept.

Counts are integers and always met: no thresholds, so ties cannot take one weight too many. Among equal scores those
that win are drawn by a seeded permutation of their positions.
"""
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from lth import streams


def survivors(count: int, rate: float) -> int:
    """How many of `count` stay when floor(rate · count) go, the rate taken as the decimal number that was written."""

    return count - int(Fraction(repr(rate)) * count)


def keep_best(scores: Tensor, mask: Tensor, count: int, *, seeds: Sequence[int], salt: int = 0) -> Tensor:
    """Keeps the `count` best-scored survivors: (R, P), (R, P) -> (R, P). Exact even when scores tie; revives no weight.

    Ties are broken by the seed of each replicate; `salt` tells draws of one seed apart (round, layer).
    """

    rows = [_keep_best(row, alive, count, streams.generator(seed, 'ties', salt))
            for row, alive, seed in zip(scores.cpu(), mask.cpu(), seeds, strict=True)]
    return torch.stack(rows).to(mask.device)


def _keep_best(scores: Tensor, mask: Tensor, count: int, ties: torch.Generator) -> Tensor:
    alive = mask.nonzero().squeeze(-1)
    if not 0 <= count <= len(alive):
        raise ValueError(f'cannot keep {count} of {len(alive)} weights')
    values = scores[alive]
    if values.isnan().any():
        raise ValueError('a score is not a number')
    if count == 0:
        return torch.zeros_like(mask)
    # Selecting the last winner is linear in the weights; sorting them all would take ten times as long.
    worst = values.kthvalue(len(values) - count + 1).values
    winners, level = values > worst, (values == worst).nonzero().squeeze(-1)
    missing = count - int(winners.sum())
    winners[level[torch.randperm(len(level), generator=ties)[:missing]]] = True
    result = torch.zeros_like(mask)
    result[alive[winners]] = True
    return result
