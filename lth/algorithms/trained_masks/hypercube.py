"""Optimization on the hypercube without freezing (Sreenivasan et al. 2022, "Rare Gems"; `hc` in the paper's code)."""
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.initial_scores import ScoreDistribution, sample_scores
from lth.algorithms.trained_masks.parametrizations import Multiplied, Rounded
from lth.algorithms.trained_masks.regularizers import Exponents, Penalty, Regularizer
from lth.pruning.tickets import Round
from lth.training.task import Task


class Settings(base.PeriodicSettings):
    """Scores are rounded in `every-step`, or weights are multiplied by them and they are rounded `at-end`. The other
    settings are those of Gem-Miner.
    """

    name: Literal['hypercube']
    penalty: float = Field(1e-4, ge=0)
    regularizer: Regularizer = 'l2'
    exponents: Exponents = (1., 1.)
    scores: ScoreDistribution = 'uniform'
    rounding: Literal['every-step', 'at-end'] = 'every-step'


class _Search(base.MaskSearch[Settings]):
    """All scores are trained to the end, then the largest are kept."""

    def __init__(self, task: Task, settings: Settings) -> None:
        super().__init__(task, settings)
        self.trains_saved_network = settings.rounding == 'every-step'
        self.may_prune_all |= settings.rounding == 'at-end'

    def initial_scores(self, random: torch.Generator) -> Tensor:
        return sample_scores(self.settings.scores, self.task.network.layout.prunable_count, random)

    def parametrization(self, _number: int, weights: Tensor) -> Rounded:
        penalty = Penalty(self.settings.penalty, self.settings.regularizer, self.settings.exponents)
        return Rounded(weights, penalty) if self.trains_saved_network else Multiplied(weights, penalty)


@ALGORITHMS.register('hypercube', settings=Settings)
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Train scores as in Gem-Miner, without freezing; keep the largest at the end (Sreenivasan et al. 2022)."""

    yield from _Search(task, settings).rounds(past)
