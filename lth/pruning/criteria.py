"""Mask criteria of Zhou et al. 2019 (section 3): (initial, final, choice) -> scores; the higher score is kept.

Weights are the survivors of one layer, or of all if they are ranked together: w_i as training set out with them, w_f as
it left them, (n,) each. Ties are settled elsewhere. A new criterion is a function here with its name above it.
"""
import bisect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lth.registry.registry import Registry


@dataclass(frozen=True)
class CriterionContext:
    """What the scores are for: `count` of the weights stay. `random` is for criteria that draw."""

    count: int
    random: torch.Generator


Criterion = Callable[[Tensor, Tensor, CriterionContext], Tensor]
CRITERIA: Registry[Criterion] = Registry('criterion')
# Stands for 0 where α is a ratio, so that it ranks by one term what the other cannot; smaller than any weight, and yet
# far from where float32 ends.
_LEAST = 1e-30


@CRITERIA.register('magnitude', 'large-final')
def magnitude(_initial: Tensor, final: Tensor, _choice: CriterionContext) -> Tensor:
    """|w_f|: the criterion of Frankle & Carbin 2019."""

    return final.abs()


@CRITERIA.register('small-final')
def small_final(_initial: Tensor, final: Tensor, _choice: CriterionContext) -> Tensor:
    """-|w_f|: the control of magnitude."""

    return -final.abs()


@CRITERIA.register('large-init')
def large_init(initial: Tensor, _final: Tensor, _choice: CriterionContext) -> Tensor:
    """|w_i|: large before training."""

    return initial.abs()


@CRITERIA.register('small-init')
def small_init(initial: Tensor, _final: Tensor, _choice: CriterionContext) -> Tensor:
    """-|w_i|: small before training."""

    return -initial.abs()


@CRITERIA.register('large-init-large-final')
def large_init_large_final(initial: Tensor, final: Tensor, choice: CriterionContext) -> Tensor:
    """min(α|w_f|, |w_i|): large before and after; either term alone would prune as many."""

    return _smaller_of_both(final.abs(), initial.abs(), choice.count)


@CRITERIA.register('small-init-small-final')
def small_init_small_final(initial: Tensor, final: Tensor, choice: CriterionContext) -> Tensor:
    """-max(α|w_f|, |w_i|): small before and after; either term alone would prune as many."""

    return _smaller_of_both(-final.abs(), -initial.abs(), choice.count)


@CRITERIA.register('magnitude-increase')
def magnitude_increase(initial: Tensor, final: Tensor, _choice: CriterionContext) -> Tensor:
    """|w_f| - |w_i|: grown the most."""

    return final.abs() - initial.abs()


@CRITERIA.register('movement')
def movement(initial: Tensor, final: Tensor, _choice: CriterionContext) -> Tensor:
    """|w_f - w_i|: moved the most."""

    return (final - initial).abs()


@CRITERIA.register('random')
def random_noise(_initial: Tensor, final: Tensor, choice: CriterionContext) -> Tensor:
    """Noise of the seed: the control of all."""

    return torch.rand(len(final), generator=choice.random).to(final.device)


@CRITERIA.register('large-final-same-sign')
def large_final_same_sign(initial: Tensor, final: Tensor, _choice: CriterionContext) -> Tensor:
    """max(0, w_i·w_f / |w_i|): large after training, and of the sign it had before."""

    return (initial.sign() * final).clamp_min(0)


@CRITERIA.register('large-final-diff-sign')
def large_final_diff_sign(initial: Tensor, final: Tensor, _choice: CriterionContext) -> Tensor:
    """max(0, -w_i·w_f / |w_i|): large after training, and of the other sign."""

    return (-initial.sign() * final).clamp_min(0)


def _smaller_of_both(final: Tensor, initial: Tensor, count: int) -> Tensor:
    """min(α·final, initial), with that α under which `count` stay and each of the two terms alone would prune as many:
    both terms meet at the weights that so many lie below.
    """

    # numpy sorts 25 million in 2.5 s, torch in 6.2.
    finals, initials = (np.sort(term.cpu().numpy()) for term in (final, initial))

    def kept(below: int) -> int:
        return int(((final >= float(finals[below])) & (initial >= float(initials[below]))).sum())
    below = bisect.bisect_right(range(len(final)), -count, key=lambda below: -kept(below)) - 1
    border, other = (max(abs(float(term[below])), _LEAST) for term in (finals, initials))
    return torch.minimum(final * (other / border), initial)
