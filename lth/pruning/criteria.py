"""Mask criteria of Zhou et al. 2019 (section 3): (initial, final, context) -> scores; the higher score is kept.

The weights are the remaining ones of one layer, or of all layers if they are ranked together: w_i before training, w_f
after training, (n,) each. Equal scores are decided elsewhere. A function of a user is `path/to/file.py:function` or
`package.module:function`. To add a criterion, write a function here with `@CRITERIA.register(name)` above it.
"""
from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from lth.registry import user_code
from lth.registry.registry import Registry
from lth.registry.tensor_results import guarded
from lth.system import lazy_import

# Named by annotations, and used only when scores are computed: lists of names do not wait for torch.
if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import.module('torch')


@dataclass(frozen=True)
class CriterionContext:
    """`count` is the number of weights that will be kept; `random` supplies random numbers of the seed."""

    count: int
    random: torch.Generator


Criterion: TypeAlias = Callable[['Tensor', 'Tensor', CriterionContext], 'Tensor']
CRITERIA: Registry[Criterion] = Registry('criterion', external=user_code.load)
# Replaces 0 in the ratio α, so that one term can rank weights where the other is 0 everywhere. Smaller than any weight,
# but far above the smallest float32.
_EPSILON = 1e-30


@CRITERIA.register('magnitude', 'large-final')
def magnitude(_initial: Tensor, final: Tensor, _context: CriterionContext) -> Tensor:
    """|w_f|: large after training (Frankle & Carbin 2019)."""

    return final.abs()


@CRITERIA.register('small-final')
def small_final(_initial: Tensor, final: Tensor, _context: CriterionContext) -> Tensor:
    """-|w_f|: small after training; the inverse of magnitude."""

    return -final.abs()


@CRITERIA.register('large-init')
def large_init(initial: Tensor, _final: Tensor, _context: CriterionContext) -> Tensor:
    """|w_i|: large before training."""

    return initial.abs()


@CRITERIA.register('small-init')
def small_init(initial: Tensor, _final: Tensor, _context: CriterionContext) -> Tensor:
    """-|w_i|: small before training."""

    return -initial.abs()


@CRITERIA.register('large-init-large-final')
def large_init_large_final(initial: Tensor, final: Tensor, context: CriterionContext) -> Tensor:
    """min(α|w_f|, |w_i|): large before and after training. α balances the two terms."""

    return _balanced_minimum(final.abs(), initial.abs(), context.count)


@CRITERIA.register('small-init-small-final')
def small_init_small_final(initial: Tensor, final: Tensor, context: CriterionContext) -> Tensor:
    """-max(α|w_f|, |w_i|): small before and after training. α balances the two terms."""

    return _balanced_minimum(-final.abs(), -initial.abs(), context.count)


@CRITERIA.register('magnitude-increase')
def magnitude_increase(initial: Tensor, final: Tensor, _context: CriterionContext) -> Tensor:
    """|w_f| - |w_i|: magnitude increased most."""

    return final.abs() - initial.abs()


@CRITERIA.register('movement')
def movement(initial: Tensor, final: Tensor, _context: CriterionContext) -> Tensor:
    """|w_f - w_i|: changed most."""

    return (final - initial).abs()


@CRITERIA.register('random')
def random_scores(_initial: Tensor, final: Tensor, context: CriterionContext) -> Tensor:
    """Random scores: the baseline for all criteria."""

    return torch.rand(len(final), generator=context.random).to(final.device)


@CRITERIA.register('large-final-same-sign')
def large_final_same_sign(initial: Tensor, final: Tensor, _context: CriterionContext) -> Tensor:
    """max(0, w_i·w_f / |w_i|): large after training, with the same sign as before."""

    return (initial.sign() * final).clamp_min(0)


@CRITERIA.register('large-final-diff-sign')
def large_final_diff_sign(initial: Tensor, final: Tensor, _context: CriterionContext) -> Tensor:
    """max(0, -w_i·w_f / |w_i|): large after training, with the opposite sign."""

    return (-initial.sign() * final).clamp_min(0)


def find_criterion(name: str) -> Criterion:
    """The criterion with this name; what a plug-in returns is checked."""

    criterion = CRITERIA.find(name)
    if not CRITERIA.is_foreign(name):
        return criterion
    return guarded(f'criterion {name}', criterion, lambda _initial, final, _context: final)


def _balanced_minimum(final: Tensor, initial: Tensor, count: int) -> Tensor:
    """min(α·final, initial). α is the ratio of the two terms at the same rank b, where b is such that `count` weights
    are above rank b in both terms. So each term alone prunes the same number of weights.
    """

    # numpy sorts 25 million in 2.5 s, torch in 6.2.
    finals, initials = (np.sort(term.cpu().numpy()) for term in (final, initial))

    def kept_above(rank: int) -> int:
        return int(((final >= float(finals[rank])) & (initial >= float(initials[rank]))).sum())
    rank = bisect.bisect_right(range(len(final)), -count, key=lambda rank: -kept_above(rank)) - 1
    border, other = (max(abs(float(term[rank])), _EPSILON) for term in (finals, initials))
    return torch.minimum(final * (other / border), initial)
