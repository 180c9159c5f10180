"""Optimization on the hypercube without freezing (Sreenivasan et al. 2022, "Rare Gems"; `hc` in the paper's code)."""
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.initial_scores import ScoreDistribution, sample_scores
from lth.algorithms.trained_masks.parametrizations import Multiplied, Rounded
from lth.algorithms.trained_masks.regularizers import Exponents, Penalty, Regularizer
from lth.errors import LthError
from lth.pruning.tickets import Round
from lth.system.yaml_text import Raw
from lth.training.task import Task


class Settings(base.PeriodicSettings):
    """Scores are rounded in `every-step`, or weights are multiplied by them and they are rounded `at-end`. The final
    mask holds the `largest` scores, as many as `density` says, or all `above-threshold`, for which `density` is 1. The
    other settings are those of Gem-Miner.
    """

    name: Literal['hypercube']
    penalty: float = Field(1e-4, ge=0, description='Factor λ of the regularizer.')
    regularizer: Regularizer = Field('l2', description='Regularizer of the scores.')
    exponents: Exponents = Field((1., 1.), description='a and b of the regularizer `variance`.')
    scores: ScoreDistribution = Field('uniform', description='Distribution of the initial scores.')
    rounding: Literal['every-step', 'at-end'] = Field(
        'every-step', description='Round scores in every step, or multiply weights by them and round at the end.')
    final_mask: Literal['largest', 'above-threshold'] = Field(
        'largest', description='The final mask holds the largest scores, or all above the threshold.')

    @property
    def count_is_limit(self) -> bool:
        return self.final_mask == 'above-threshold'

    def inverted(self) -> Raw:
        if self.final_mask == 'above-threshold':
            raise LthError('the final mask holds scores above the threshold, and inverting the ranking does not '
                           'change which these are')
        return super().inverted()

    @model_validator(mode='after')
    def _check_density(self) -> Self:
        if self.final_mask == 'above-threshold' and self.density < 1:
            raise ValueError('final_mask above-threshold keeps all scores above 0.5, as many as there are: density has '
                             'no effect, leave it at 1')
        return self


class _Search(base.MaskSearch[Settings]):
    """All scores are trained to the end, then the largest are kept."""

    def __init__(self, task: Task, settings: Settings) -> None:
        super().__init__(task, settings)
        self.trains_saved_network = settings.rounding == 'every-step'
        self.may_prune_all |= settings.rounding == 'at-end'

    def initial_scores(self, random: torch.Generator) -> Tensor:
        return sample_scores(self.settings.scores, self.task.network.layout.prunable_count, random)

    def round_masks(self, number: int, active: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        if number + 1 < len(self.ends) or self.settings.final_mask == 'largest':
            return super().round_masks(number, active, scores)
        final = self.above_threshold(scores)
        return final, final

    def parametrization(self, start: base.RoundStart) -> Rounded:
        penalty = Penalty(self.settings.penalty, self.settings.regularizer, self.settings.exponents)
        kind = Rounded if self.trains_saved_network else Multiplied
        return kind(start.weights, penalty)


@ALGORITHMS.register('hypercube', settings=Settings)
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Train scores as in Gem-Miner, without freezing; keep the largest at the end (Sreenivasan et al. 2022)."""

    yield from _Search(task, settings).rounds(past)
