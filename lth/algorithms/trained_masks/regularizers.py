"""What draws scores p to where they should be: λ times a sum over all of them, added to the loss.

Each but `l2`, which is a weight decay, is given by its derivative by p, for each score alone, and what that is
multiplied by; with exponents a and b where it has some. A new regularizer
is a function here and its name in `REGULARIZERS` and `Regularizer`.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

Regularizer = Literal['l2', 'l1', 'l1-l2', 'variance']
Exponent = Annotated[float, Field(ge=1, le=100)]
Exponents = Annotated[tuple[Exponent, Exponent], Field(strict=False)]


@dataclass(frozen=True)
class Penalty:
    """λ, the regularizer, and the exponents of `variance`."""

    factor: float
    regularizer: Regularizer = 'l2'
    exponents: tuple[float, float] = (1., 1.)

    @property
    def decay(self) -> float:
        """What λ Σ p² adds to a weight decay."""

        return 2 * self.factor if self.regularizer == 'l2' else 0.

    def add_gradient(self, scores: Tensor, gradient: Tensor) -> None:
        """Adds the gradient by the scores, but for what is a `decay`, to that of the loss, in place: (R, P), (R, P)."""

        if self.factor and self.regularizer != 'l2':
            slope, scale = REGULARIZERS[self.regularizer](scores, *self.exponents)
            gradient.add_(slope, alpha=scale * self.factor)


def _l1(scores: Tensor, _a: float, _b: float) -> tuple[Tensor, float]:
    """Σ |p|."""

    return scores.sign(), 1.


def _l1_l2(scores: Tensor, _a: float, _b: float) -> tuple[Tensor, float]:
    """Σ |p| + p²."""

    return scores.sign().add_(scores, alpha=2), 1.


def _variance(scores: Tensor, a: float, b: float) -> tuple[Tensor, float]:
    """Σ pᵃ(1 - p)ᵇ, which draws scores to 0 or 1."""

    rest = 1 - scores
    return a * scores ** (a - 1) * rest ** b - b * scores ** a * rest ** (b - 1), 1.


REGULARIZERS: dict[Regularizer, Callable[[Tensor, float, float], tuple[Tensor, float]]] = {
    'l1': _l1, 'l1-l2': _l1_l2, 'variance': _variance}
