"""Relaxed Bernoulli gates (Tsayag & Lindenbaum 2026, arXiv 2603.08914): every frozen weight is multiplied by a gate in
[0, 1] with trained mean and Gaussian noise, so that the loss has a true gradient with respect to the gates.

The gates are those of Yamada et al. 2020 ("Feature selection using stochastic gates"), for weights instead of features.
"""
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth import rng
from lth.algorithms.base import ALGORITHMS
from lth.algorithms.trained_masks import base
from lth.pruning import masks
from lth.pruning.tickets import Round
from lth.training.task import Task

# Of the initial means, as in the published code of Yamada et al.
_INITIAL_STD = 0.01


class Settings(base.PeriodicSettings):
    """A gate is clip(μ + offset + ε, 0, 1) with ε of standard deviation `noise`. `penalty` is the factor λ of the
    expected number of open gates, which is added to the loss. The weights of the gem are multiplied by 1 if `values` is
    `binary`, by their gates without noise if it is `soft`.
    """

    stochastic: ClassVar[bool] = True

    name: Literal['gates']
    noise: float = Field(0.5, gt=0, le=100, description='Standard deviation of the noise ε of a gate.')
    offset: float = Field(0.5, ge=0, le=1, description='Added to the mean of a gate.')
    penalty: float = Field(1e-4, ge=0, description='Factor λ of the expected number of open gates.')
    values: Literal['binary', 'soft'] = Field(
        'binary',
        description='Weights of the gem are multiplied by 1 (`binary`), or by their gates without noise (`soft`).')

    @property
    def alters_weights(self) -> bool:
        return self.values == 'soft'


@dataclass(frozen=True)
class Gates:
    """Weights times gates clip(μ + offset + ε, 0, 1), where ε has the standard deviation `noise` and is drawn in each
    step. `frozen` are the initial weights (R, N).
    """

    frozen: Tensor
    seeds: Sequence[int]
    noise: float
    offset: float
    penalty: float
    decay: float = 0.
    _shifted: dict[str, Tensor] = field(default_factory=dict)

    def weights(self, learned: Tensor, step: int, out: Tensor | None = None) -> Tensor:
        """Weights times the gates of the step, and all parameters that are not prunable: (R, P) -> (R, N)."""

        out, count = self.frozen.clone() if out is None else out, learned.shape[1]
        noise = torch.stack([torch.randn(count, generator=rng.generator(seed, 'gates', step)) for seed in self.seeds])
        shifted = noise.to(learned).mul_(self.noise).add_(learned).add_(self.offset)
        self._shifted['gates'] = shifted
        torch.mul(shifted.clamp(0, 1), self.frozen[:, :count], out=out[:, :count])
        return out

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """(∂CE/∂w_eff) ⊙ w where the gate is strictly between 0 and 1, plus λ φ((μ + offset) / σ) / σ, the derivative
        of λ Φ((μ + offset) / σ); Φ is the probability that the gate is open.
        """

        part = slice(start, start + gradient.shape[1])
        shifted = self._shifted['gates'][:, part]
        torch.mul(gradient, self.frozen[:, part], out=out[:, part]).mul_((shifted > 0) & (shifted < 1))
        if self.penalty:
            density = torch.exp(-((learned[:, part] + self.offset) / self.noise).square_().div_(2))
            out[:, part].add_(density, alpha=self.penalty / (self.noise * math.sqrt(2 * math.pi)))

    def project(self, _learned: Tensor) -> None:
        """Means have no limits."""


class _Search(base.MaskSearch[Settings]):
    """Scores are the means of the gates; at the end the largest are kept."""

    trains_saved_network = False
    records_selected = True

    def __init__(self, task: Task, settings: Settings) -> None:
        super().__init__(task, settings)
        self.may_prune_all = True

    def initial_scores(self, random: torch.Generator) -> Tensor:
        return torch.randn(self.task.network.layout.prunable_count, generator=random) * _INITIAL_STD

    def parametrization(self, start: base.RoundStart) -> Gates:
        settings = self.settings
        return Gates(start.weights, self.task.seeds, settings.noise, settings.offset, settings.penalty)

    def above_threshold(self, scores: Tensor) -> Tensor:
        """The gates that are open without noise."""

        return scores + self.settings.offset > 0

    def masked_weights(self, mask: Tensor, weights: Tensor, scores: Tensor) -> Tensor:
        vector = masks.apply_mask(mask, weights)
        if self.settings.values == 'soft':
            vector[:, :scores.shape[1]] *= (scores + self.settings.offset).clamp(0, 1)
        return vector


@ALGORITHMS.register('gates', settings=Settings)
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Train gates with noise that multiply untrained weights; keep the largest (Tsayag & Lindenbaum 2026)."""

    yield from _Search(task, settings).rounds(past)
