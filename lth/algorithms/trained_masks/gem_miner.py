"""Gem-Miner (Sreenivasan et al. 2022, "Rare Gems", algorithm 1): scores are trained, weights keep their initial values.

A weight is used while its score is above one half. At regular intervals, the smallest scores are set to 0 permanently,
so that after the last such event the requested number remains: the gem, accurate before any weight is trained.
"""
import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.algorithms.round_ends import multiples, refuse_empty_interval
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.initial_scores import ScoreDistribution, sample_scores
from lth.algorithms.trained_masks.parametrizations import Rounded
from lth.algorithms.trained_masks.penalty_control import adapted_penalty
from lth.algorithms.trained_masks.regularizers import Exponents, Penalty, Regularizer, ReplicatePenalty
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.layer_collapse import refuse_empty_layers, refuse_too_few
from lth.pruning.tickets import Round
from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.schema import TrainingSettings
from lth.system.yaml_text import Raw
from lth.training.task import Task

_DEFAULT_PENALTY = 1e-4


def _current_name(value: Any) -> Any:
    """The value of final_mask under its present name; version 0.1 wrote in-force."""

    return 'above-threshold' if value == 'in-force' else value


class Settings(base.TrainedMaskSettings):
    """Scores freeze `freeze_offset` after each multiple of `freeze_every`: 1 epoch after it in the code of Rare Gems,
    which counts epochs from 0. There are no events in the last `final_epochs` epochs. `penalty` is the factor λ of the
    regularizer; with `auto` it starts at `start_penalty` and is adapted at each event (penalty_control.py). `exponents`
    are a and b of the regularizer `variance`. The final mask holds all `active` scores, or only those
    `above-threshold`. Each event rounds the number of frozen scores up, as the code of Rare Gems does, so that a few
    weights fewer than requested remain; with `exact_count`, exactly the requested number remains.
    """

    event: ClassVar[str] = 'freeze event'
    starting_values: ClassVar[Mapping[str, str]] = MappingProxyType({'penalty': 'start_penalty'})

    name: Literal['gem-miner']
    freeze_every: DurationSetting = Field(
        Duration(5, 'epochs'), description='How often the smallest scores are frozen at 0.')
    freeze_offset: DurationSetting = Field(
        Duration(0, 'iterations'), description='How long after each multiple of `freeze_every` scores freeze.')
    final_epochs: int | None = Field(None, ge=1, description='Number of last epochs without a freeze event.')
    penalty: Annotated[float, Field(ge=0)] | Literal['auto'] = Field(
        _DEFAULT_PENALTY, description='Factor λ of the regularizer; `auto` adapts it at each freeze event.')
    exact_count: bool = Field(
        False, description='Keep exactly the requested number, without rounding at each freeze event as published.')
    start_penalty: float | None = Field(None, gt=0, description='λ of the first round, if the penalty is `auto`.')
    regularizer: Regularizer = Field('l2', description='Regularizer of the scores.')
    exponents: Exponents = Field((1., 1.), description='a and b of the regularizer `variance`.')
    scores: ScoreDistribution = Field('uniform', description='Distribution of the initial scores.')
    final_mask: Annotated[Literal['active', 'above-threshold'], BeforeValidator(_current_name)] = Field(
        'active', description='The final mask holds all active scores, or those above the threshold.')

    @property
    def short_name(self) -> str:
        """The most common algorithm for gems has the shortest name."""

        return 'gem'

    @property
    def count_is_limit(self) -> bool:
        return self.final_mask == 'above-threshold'

    @property
    def first_penalty(self) -> float:
        """λ of the first round."""

        return (self.start_penalty or _DEFAULT_PENALTY) if self.penalty == 'auto' else self.penalty

    @property
    def penalty_factors(self) -> tuple[tuple[str, float], ...]:
        name = 'start_penalty' if self.penalty == 'auto' else 'penalty'
        return ((f'algorithm.{name}', self.first_penalty),)

    @model_validator(mode='after')
    def _check_start(self) -> Self:
        if self.penalty != 'auto' and self.start_penalty is not None:
            raise ValueError('start_penalty has no effect unless penalty is auto: leave one of them out')
        return self

    def inverted(self) -> Raw:
        if self.final_mask == 'above-threshold':
            raise LthError('the final mask holds the scores above the threshold, and with an inverted ranking there '
                           'are none')
        return super().inverted()

    def round_ends(self, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        """The iterations of the freeze events, and the end of training. An event that the offset moves to the end or
        beyond is one iteration before it, so that the last round is not empty; with `final_epochs` it does not happen.
        """

        *events, end = multiples(self.freeze_every, training, steps_per_epoch)
        offset = self.freeze_offset.steps(steps_per_epoch)
        if self.final_epochs is None:
            return [*(min(event + offset, end - 1) for event in events), end]
        last = end - self.final_epochs * steps_per_epoch
        return [*(event + offset for event in events if event + offset <= last), end]

    def kept_counts(self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        """Number of active scores at the start and after each of the K events. They freeze ⌈ρ · active⌉ scores with
        ρ = 1 - density^(1/K); with `exact_count`, ⌊density^(k/K) · P⌋ of P scores remain after event k.
        """

        events = len(self.round_ends(training, steps_per_epoch)) - 1
        count = _exact_counts if self.exact_count else _active_counts
        refuse_too_few(layout, self.density, lambda density: count(layout.prunable_count, density, events)[-1])
        return count(layout.prunable_count, self.density, events)

    def check(self, training: TrainingSettings, steps_per_epoch: int) -> None:
        refuse_empty_interval('freeze_every', self.freeze_every)
        if self.freeze_offset.steps(steps_per_epoch) >= self.freeze_every.steps(steps_per_epoch):
            raise LthError(f'algorithm.freeze_offset: {self.freeze_offset} is not shorter than algorithm.freeze_every, '
                           f'{self.freeze_every}. Give a shorter offset.')
        if len(self.round_ends(training, steps_per_epoch)) > 1:
            return
        if self.final_epochs is None:
            often = max(1, training.steps(steps_per_epoch) // 10)
            raise LthError(f'algorithm.freeze_every: scores never freeze, as {self.freeze_every} is not before the end '
                           f'of training, {training.length}. Train longer, or freeze earlier, such as --set '
                           f'"algorithm.freeze_every={often} iterations".')
        raise LthError(f'algorithm.final_epochs: {self.final_epochs} leaves no freeze event, as the first is after '
                       f'{self.freeze_every} and training ends after {training.length}. Give fewer final epochs, '
                       'freeze earlier or train longer.')


class _Search(base.MaskSearch[Settings]):
    """Scores in [0, 1], rounded in each step."""

    def __init__(self, task: Task, settings: Settings) -> None:
        super().__init__(task, settings)
        if settings.penalty == 'auto':
            self.remedy = self.rounding_remedy = (
                'Reduce algorithm.start_penalty or the weight decay, which pull scores towards 0, or the learning rate')

    def initial_scores(self, random: torch.Generator) -> Tensor:
        return sample_scores(self.settings.scores, self.task.network.layout.prunable_count, random)

    def parametrization(self, start: base.RoundStart) -> Rounded:
        settings, weights = self.settings, start.weights
        if not start.penalties:
            return Rounded(weights, Penalty(settings.first_penalty, settings.regularizer, settings.exponents))
        factors = torch.tensor(start.penalties, dtype=torch.float64, device=weights.device)[:, None]
        return Rounded(weights, ReplicatePenalty(factors, settings.regularizer, settings.exponents))

    def penalties(self, last: Round | None) -> tuple[float, ...]:
        """With `penalty: auto`, the adapted λ of each replicate."""

        settings, start = self.settings, self.settings.first_penalty
        if settings.penalty != 'auto':
            return ()
        if last is None:
            return (start,) * len(self.task.seeds)
        if last.number + 2 == len(self.ends):
            return (0.,) * len(self.task.seeds)
        assert last.search is not None
        ranked = last.search.scores.masked_fill(~last.ticket.mask, -1.).sort(1, descending=True).values
        return tuple(adapted_penalty(start, score) for score in ranked[:, self.counts[last.number + 2] - 1].tolist())

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


def _exact_counts(weights: int, density: float, events: int) -> list[int]:
    return [weights, *(masks.floor_share(weights, density ** (event / events)) for event in range(1, events + 1))]
