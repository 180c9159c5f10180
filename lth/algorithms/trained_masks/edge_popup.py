"""Edge-popup (Ramanujan et al. 2020, "What's Hidden in a Randomly Weighted Neural Network?", section 3), and its form
in Rare Gems that ranks all layers together.

The weights with the largest absolute scores take part in every step, so many of each layer; all scores are taught.
"""
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.base import algorithm
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.base import Saved, Way
from lth.algorithms.trained_masks.parametrizations import Top
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.errors import LthError
from lth.models.flat_parameters import Layout, Slot
from lth.pruning import masks
from lth.pruning.layer_collapse import kept_count
from lth.pruning.layer_densities import uniform
from lth.pruning.tickets import Round
from lth.recipes.durations import DurationSetting
from lth.recipes.schema import TrainingSettings
from lth.training.task import Task

_STEPWISE = ('One threshold for layers of different sizes can do that: let the share shrink step by step, --set '
             '"algorithm.shrink_every=1 epochs"')


class Layerwise(Saved):
    """Every layer keeps the same share."""

    name: Literal['edge-popup']


class Global(Saved):
    """With `shrink_every` a span T, the share in force falls in steps, which are then the rounds: in epoch e of E it is
    density^(⌊(e + 1)/T⌋ / ⌊E/T⌋). `penalty` is λ of Σ p².
    """

    name: Literal['global-edge-popup']
    shrink_every: DurationSetting | None = None
    penalty: float = Field(0., ge=0)


class Level(NamedTuple):
    """A round: it ends at this iteration, with this share of the weights in force."""

    end: int
    density: float


def levels(settings: Global, training: TrainingSettings, steps_per_epoch: int) -> list[Level]:
    """The rounds of a search over all layers together; spans in iterations count as epochs of one iteration."""

    if settings.shrink_every is None:
        spans = base.ends(settings.save_every, training, steps_per_epoch)
        return [Level(end, settings.density) for end in spans]
    unit = steps_per_epoch if settings.shrink_every.unit == 'epochs' else 1
    end, every = training.length.steps(steps_per_epoch), settings.shrink_every.steps(steps_per_epoch)
    steps = end // every
    bounds = [0, *(step * every - unit for step in range(1, steps + 1)), end]
    return [Level(bounds[step + 1], settings.density ** (step / steps))
            for step in range(steps + 1) if bounds[step] < bounds[step + 1]]


def _kept_of_layers(layout: Layout, settings: Layerwise) -> tuple[int, ...]:
    return uniform(layout.prunable_slots, kept_count(layout, settings.density))


def _kept_layerwise(layout: Layout, settings: Layerwise, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
    rounds = len(base.ends(settings.save_every, training, steps_per_epoch))
    return [sum(_kept_of_layers(layout, settings))] * rounds


def _kept(layout: Layout, settings: Global, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
    least = kept_count(layout, settings.density)
    shares = [level.density for level in levels(settings, training, steps_per_epoch)]
    return [max(least, int(share * layout.prunable_count)) if share > settings.density else least for share in shares]


def _check(settings: Layerwise | Global, training: TrainingSettings, steps_per_epoch: int) -> None:
    base.check_span('save_every', settings.save_every)
    if not isinstance(settings, Global) or not settings.shrink_every:
        return
    base.check_span('shrink_every', settings.shrink_every)
    if settings.shrink_every.steps(steps_per_epoch) >= training.length.steps(steps_per_epoch):
        raise LthError(f'algorithm.shrink_every: the share never falls, as {settings.shrink_every} is not before the '
                       f'end of training, {training.length}. Let it fall earlier or train longer.')


@algorithm('edge-popup', Layerwise, kept=_kept_layerwise, check=_check, trains='throughout', finds='gems')
def find_gem(task: Task, settings: Layerwise, past: Sequence[Round]) -> Iterator[Round]:
    """In each layer the weights with the largest trained scores; weights stay as drawn (Ramanujan et al. 2020)."""

    layout = task.network.layout
    bounds = [(slot.start, slot.stop) for slot in layout.prunable_slots]
    ends = base.ends(settings.save_every, task.training, task.steps_per_epoch)
    counts = [_kept_of_layers(layout, settings)] * len(ends)
    yield from base.searched(task, _way(task, settings, ends, bounds, counts, 0.), past)


@algorithm('global-edge-popup', Global, kept=_kept, check=_check, trains='throughout', finds='gems')
def find_gem_globally(task: Task, settings: Global, past: Sequence[Round]) -> Iterator[Round]:
    """The weights with the largest trained scores of all layers together, at once or step by step (Rare Gems)."""

    layout = task.network.layout
    ends = [level.end for level in levels(settings, task.training, task.steps_per_epoch)]
    counts = [(count,) for count in _kept(layout, settings, task.training, task.steps_per_epoch)]
    yield from base.searched(
        task, _way(task, settings, ends, [(0, layout.prunable_count)], counts, settings.penalty), past)


def _way(
        task: Task, settings: Saved, ends: Sequence[int], bounds: Sequence[tuple[int, int]],
        counts: Sequence[tuple[int, ...]], penalty: float) -> Way:
    """What both do alike: so many of each part of the vector are in force in each round."""

    smallest = settings.keep == 'smallest'

    def parametrization(number: int, weights: Tensor) -> Top:
        return Top(weights, Penalty(penalty), bounds, counts[number], smallest)

    def found(number: int, active: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
        ranked = -trained.abs() if smallest else trained.abs()
        mask = masks.keep_best_per_part(ranked, active, bounds, counts[number], seeds=task.seeds, number=number)
        return mask, mask

    return Way(
        ends=ends, start=base.drawn(task, lambda random: _start(task.network.layout.prunable_slots, random)),
        parametrization=parametrization, active=lambda _, last: torch.ones_like(last.ticket.mask), found=found,
        dressed=masks.apply_mask, mend=_STEPWISE if len(bounds) == 1 else base.SINK)


def _start(slots: Sequence[Slot], random: torch.Generator) -> Tensor:
    """Kaiming-uniform scores with a = √5, as torch.nn.Linear draws its weights: within ± 1 / √fan_in: (P,)."""

    return torch.cat([
        torch.empty(slot.size).uniform_(-1, 1, generator=random) / math.sqrt(math.prod(slot.shape[1:]))
        for slot in slots])
