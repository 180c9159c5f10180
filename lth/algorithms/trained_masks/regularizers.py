"""Regularizers of scores p: λ times a sum over all scores, added to the loss.

A regularizer is a function (p, w, a, b) -> derivative with respect to each score, where w are the initial weights, and
a and b the exponents of `variance`. With one λ for all replicates, `l2` is a weight decay of the optimizer instead,
which needs no pass of its own. To add a regularizer, write a function here, and add its name to `REGULARIZERS` and
`Regularizer`.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

Regularizer = Literal['l2', 'l1', 'l1-l2', 'variance', 'weighted-variance', 'entropy']
Exponent = Annotated[float, Field(ge=1, le=100)]
Exponents = Annotated[tuple[Exponent, Exponent], Field(strict=False)]


@dataclass(frozen=True)
class Penalty:
    """The factor λ, the regularizer, and the exponents of `variance`."""

    factor: float
    regularizer: Regularizer = 'l2'
    exponents: tuple[float, float] = (1., 1.)

    @property
    def decay(self) -> float:
        """The weight decay that is equivalent to λ Σ p²."""

        return 2 * self.factor if self.regularizer == 'l2' else 0.

    def add_gradient(self, scores: Tensor, weights: Tensor, gradient: Tensor) -> None:
        """Add the gradient of the penalty, unless it is a `decay`, to the gradient of the loss: (R, P) each."""

        if self.factor and self.regularizer != 'l2':
            gradient.add_(REGULARIZERS[self.regularizer](scores, weights, *self.exponents), alpha=self.factor)


@dataclass(frozen=True)
class ReplicatePenalty:
    """A penalty with a factor λ for each replicate: `factors` (R, 1)."""

    factors: Tensor
    regularizer: Regularizer = 'l2'
    exponents: tuple[float, float] = (1., 1.)
    decay: float = 0.

    def add_gradient(self, scores: Tensor, weights: Tensor, gradient: Tensor) -> None:
        """Add the gradient of the penalty to the gradient of the loss: (R, P) each."""

        gradient.add_(REGULARIZERS[self.regularizer](scores, weights, *self.exponents) * self.factors.to(scores))


def _l2(scores: Tensor, _weights: Tensor, _a: float, _b: float) -> Tensor:
    """Σ p²."""

    return 2 * scores


def _l1(scores: Tensor, _weights: Tensor, _a: float, _b: float) -> Tensor:
    """Σ |p|."""

    return scores.sign()


def _l1_l2(scores: Tensor, _weights: Tensor, _a: float, _b: float) -> Tensor:
    """Σ |p| + p²."""

    return scores.sign().add_(scores, alpha=2)


def _variance(scores: Tensor, _weights: Tensor, a: float, b: float) -> Tensor:
    """Σ pᵃ(1 - p)ᵇ, which pulls scores towards 0 or 1."""

    rest = 1 - scores
    return a * scores ** (a - 1) * rest ** b - b * scores ** a * rest ** (b - 1)


def _weighted_variance(scores: Tensor, weights: Tensor, a: float, b: float) -> Tensor:
    """Σ w² pᵃ(1 - p)ᵇ, the variance of the weights if each is used with probability p (`var_red_2` of Rare Gems)."""

    return _variance(scores, weights, a, b) * weights ** 2


def _entropy(scores: Tensor, _weights: Tensor, _a: float, _b: float) -> Tensor:
    """Σ -p ln p - (1 - p) ln(1 - p) over the scores strictly between 0 and 1; at the ends the derivative is infinite.
    """

    inside = (scores > 0) & (scores < 1)
    return torch.where(inside, torch.log((1 - scores) / scores), 0.)


REGULARIZERS: dict[Regularizer, Callable[[Tensor, Tensor, float, float], Tensor]] = {
    'l2': _l2, 'l1': _l1, 'l1-l2': _l1_l2, 'variance': _variance, 'weighted-variance': _weighted_variance,
    'entropy': _entropy}
