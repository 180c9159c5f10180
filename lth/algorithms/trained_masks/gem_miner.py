"""Gem-Miner (Sreenivasan et al. 2022, "Rare Gems", algorithm 1): scores are trained, weights keep their initial values.

A weight is used while its score is above one half. At regular intervals, the smallest scores are set to 0 permanently,
so that after the last such event exactly the requested number remains: the gem, accurate before any weight is trained.
"""
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.initial_scores import ScoreDistribution, sample_scores
from lth.algorithms.trained_masks.parametrizations import Rounded
from lth.algorithms.trained_masks.regularizers import Exponents, Penalty, Regularizer
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning.layer_collapse import refuse_empty_layers, refuse_too_few
from lth.pruning.tickets import Round
from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.schema import TrainingSettings
from lth.system.yaml_text import Raw
from lth.training.task import Task


def _current_name(value: Any) -> Any:
    """The value of final_mask under its present name; version 0.1 wrote in-force."""

    return 'above-threshold' if value == 'in-force' else value


class Settings(base.TrainedMaskSettings):
    """Scores freeze `freeze_offset` after each multiple of `freeze_every`: 1 epoch after it in the code of Rare Gems,
    which counts epochs from 0. `penalty` is the factor λ of the regularizer, `exponents` are a and b of the regularizer
    `variance`. The final mask holds all `active` scores, or only those `above-threshold`.
    """

    event: ClassVar[str] = 'freeze event'

    name: Literal['gem-miner']
    freeze_every: DurationSetting = Duration(5, 'epochs')
    freeze_offset: DurationSetting = Duration(0, 'iterations')
    penalty: float = Field(1e-4, ge=0)
    regularizer: Regularizer = 'l2'
    exponents: Exponents = (1., 1.)
    scores: ScoreDistribution = 'uniform'
    final_mask: Annotated[Literal['active', 'above-threshold'], BeforeValidator(_current_name)] = 'active'

    @property
    def short_name(self) -> str:
        """The most common algorithm for gems has the shortest name."""

        return 'gem'

    @property
    def count_is_limit(self) -> bool:
        return self.final_mask == 'above-threshold'

    def inverted(self) -> Raw:
        if self.final_mask == 'above-threshold':
            raise LthError('the final mask holds the scores above the threshold, and with an inverted ranking there '
                           'are none')
        return super().inverted()

    def round_ends(self, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        """The iterations of the freeze events, and the end of training. An event that the offset moves to the end or
        beyond is one iteration before it, so that the last round is not empty.
        """

        *events, end = base.multiples(self.freeze_every, training, steps_per_epoch)
        offset = self.freeze_offset.steps(steps_per_epoch)
        return [*(min(event + offset, end - 1) for event in events), end]

    def kept_counts(self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        """Number of active scores at the start and after each of the K events, which freeze ⌈ρ · active⌉ scores with
        ρ = 1 - density^(1/K).
        """

        events = len(self.round_ends(training, steps_per_epoch)) - 1
        refuse_too_few(layout, self.density, lambda density: _active_counts(layout.prunable_count, density, events)[-1])
        return _active_counts(layout.prunable_count, self.density, events)

    def check(self, training: TrainingSettings, steps_per_epoch: int) -> None:
        base.refuse_empty_interval('freeze_every', self.freeze_every)
        if self.freeze_offset.steps(steps_per_epoch) >= self.freeze_every.steps(steps_per_epoch):
            raise LthError(f'algorithm.freeze_offset: {self.freeze_offset} is not shorter than algorithm.freeze_every, '
                           f'{self.freeze_every}. Give a shorter offset.')
        if len(self.round_ends(training, steps_per_epoch)) == 1:
            raise LthError(f'algorithm.freeze_every: scores never freeze, as {self.freeze_every} is not before the end '
                           f'of training, {training.length}. Freeze earlier or train longer.')


class _Search(base.MaskSearch[Settings]):
    """Scores in [0, 1], rounded in each step."""

    def initial_scores(self, random: torch.Generator) -> Tensor:
        return sample_scores(self.settings.scores, self.task.network.layout.prunable_count, random)

    def parametrization(self, _number: int, weights: Tensor) -> Rounded:
        settings = self.settings
        return Rounded(weights, Penalty(settings.penalty, settings.regularizer, settings.exponents))

    def active_scores(self, number: int, last: Round) -> Tensor:
        """The largest of the scores that were active before; a layer without any is an LthError."""

        assert last.search is not None
        mask = self.best(last.search.scores, last.ticket.mask, number)
        refuse_empty_layers(self.task, mask, f'Freezing scores at round {number}', self.remedy)
        return mask

    def round_masks(self, number: int, active: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        above_threshold = active & self.above_threshold(scores)
        if number + 1 < len(self.ends):
            return active, above_threshold
        final = active if self.settings.final_mask == 'active' else above_threshold
        return final, final


@ALGORITHMS.register(
    'gem-miner', settings=Settings, benchmark_step=lambda _task, weights: Rounded(weights, Penalty(1e-4)))
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Train scores of untrained weights and freeze the smallest until a rare gem remains (Sreenivasan et al. 2022)."""

    yield from _Search(task, settings).rounds(past)


def _active_counts(weights: int, density: float, events: int) -> list[int]:
    rate = 1 - density ** (1 / events) if events else 0.
    counts = [weights]
    for _ in range(events):
        counts.append(counts[-1] - math.ceil(rate * counts[-1]))
    return counts
