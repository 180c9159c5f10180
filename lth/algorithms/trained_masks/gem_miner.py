"""Gem-Miner (Sreenivasan et al. 2022, "Rare Gems", algorithm 1): scores are trained, weights stay as they were drawn.

A weight takes part while its score is above one half. From time to time the smallest scores freeze for good, so that
after the last such event exactly the wanted number is left: the gem, good before any of its weights was trained.
"""
import math
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from lth.algorithms.base import algorithm
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.base import Scored, Way
from lth.algorithms.trained_masks.initial_scores import Start, start_of
from lth.algorithms.trained_masks.parametrizations import Rounded
from lth.algorithms.trained_masks.regularizers import Exponents, Penalty, Regularizer
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.layer_collapse import refuse_empty_layers, refuse_too_few
from lth.pruning.tickets import Round
from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.schema import TrainingSettings
from lth.training.task import Task


class Settings(Scored):
    """`penalty` is λ of the regularizer; with `variance` it is that of Σ pᵃ(1 - p)ᵇ, a and b being the exponents."""

    name: Literal['gem-miner']
    freeze_every: DurationSetting = Duration(5, 'epochs')
    penalty: float = Field(1e-4, ge=0)
    regularizer: Regularizer = 'l2'
    exponents: Exponents = (1., 1.)
    scores: Start = 'uniform'
    final_mask: Literal['active', 'in-force'] = 'active'


def events(settings: Settings, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
    """The iterations at which scores freeze: every T, before the end."""

    return base.ends(settings.freeze_every, training, steps_per_epoch)[:-1]


def kept_counts(layout: Layout, settings: Settings, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
    """Active scores at the start and after each event: ⌈ρ · active⌉ go, ρ = 1 - density^(1/K)."""

    number = len(events(settings, training, steps_per_epoch))
    refuse_too_few(layout, settings.density, lambda density: _ladder(layout.prunable_count, density, number)[-1])
    return _ladder(layout.prunable_count, settings.density, number)


def _ladder(weights: int, density: float, events_: int) -> list[int]:
    rate = 1 - density ** (1 / events_) if events_ else 0.
    counts = [weights]
    for _ in range(events_):
        counts.append(counts[-1] - math.ceil(rate * counts[-1]))
    return counts


def _check(settings: Settings, training: TrainingSettings, steps_per_epoch: int) -> None:
    base.check_span('freeze_every', settings.freeze_every)
    if not events(settings, training, steps_per_epoch):
        raise LthError(f'algorithm.freeze_every: scores never freeze, as {settings.freeze_every} is not before the end '
                       f'of training, {training.length}. Freeze earlier or train longer.')


@algorithm('gem-miner', Settings, kept=kept_counts, check=_check, trains='throughout', finds='gems')
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Trained scores on untrained weights, frozen step by step until a rare gem is left (Sreenivasan et al. 2022)."""

    layout = task.network.layout
    counts = kept_counts(layout, settings, task.training, task.steps_per_epoch)
    penalty = Penalty(settings.penalty, settings.regularizer, settings.exponents)

    def active(number: int, last: Round) -> Tensor:
        assert last.search is not None
        mask = base.best(last.search.scores, last.ticket.mask, counts[number], task, number, settings.keep)
        refuse_empty_layers(task, mask, f'Freezing scores at round {number}', base.SINK)
        return mask

    def found(number: int, mask: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
        above_threshold = mask & (trained > 0.5)
        if number + 1 < len(counts):
            return mask, above_threshold
        return (above_threshold, above_threshold) if settings.final_mask == 'in-force' else (mask, mask)

    yield from base.searched(task, Way(
        ends=[*events(settings, task.training, task.steps_per_epoch), task.steps],
        start=base.drawn(task, lambda random: start_of(settings.scores, layout.prunable_count, random)),
        parametrization=lambda _, weights: Rounded(weights, penalty), active=active, found=found,
        dressed=masks.apply_mask, may_sink=base.may_sink(task, settings)), past)
