"""Edge-popup (Ramanujan et al. 2020, "What's Hidden in a Randomly Weighted Neural Network?", section 3), and the
variant of Rare Gems that ranks all layers together.

Each step uses the weights with the largest absolute scores, a fixed number of each layer; all scores are trained.
"""
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.algorithms.round_ends import refuse_empty_interval
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.parametrizations import Top
from lth.algorithms.trained_masks.regularizers import Exponents, Penalty, Regularizer
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.layer_collapse import kept_count
from lth.pruning.layer_densities import uniform
from lth.pruning.tickets import Round
from lth.recipes.durations import DurationSetting
from lth.recipes.schema import TrainingSettings
from lth.training.task import Task

_SHRINK_GRADUALLY = ('One threshold for layers of different sizes can cause this: reduce the density gradually, --set '
                     '"algorithm.shrink_every=1 epochs"')


class EdgePopupSettings(base.PeriodicSettings):
    """`penalty` is the factor λ of the regularizer, `exponents` are a and b of the regularizer `variance`."""

    penalty: float = Field(0., ge=0, description='Factor λ of the regularizer.')
    regularizer: Regularizer = Field('l2', description='Regularizer of the scores.')
    exponents: Exponents = Field((1., 1.), description='a and b of the regularizer `variance`.')

    def step_operations(self, dense: int, kept: int) -> int:
        """Features and their gradients are computed with the used weights; all scores have gradients."""

        return 2 * kept + dense


class LayerSettings(EdgePopupSettings):
    """Every layer keeps the same share of its weights."""

    name: Literal['edge-popup']

    def layer_counts(self, layout: Layout) -> tuple[int, ...]:
        """Number of weights that each layer keeps."""

        return uniform(layout.prunable_slots, kept_count(layout, self.density))

    def kept_counts(self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        return [sum(self.layer_counts(layout))] * len(self.round_ends(training, steps_per_epoch))

    def kept_per_layer(
            self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> Sequence[Sequence[int]]:
        return [self.layer_counts(layout)] * len(self.round_ends(training, steps_per_epoch))


class Level(NamedTuple):
    """A round of training with one density; it ends at iteration `end`."""

    end: int
    density: float


class GlobalSettings(EdgePopupSettings):
    """All layers share one threshold. With `shrink_every` T the density decreases gradually: in epoch e = 0, 1, … of E
    it is density^(k/K) with K = ⌊(E - 1)/T⌋ and k = ⌊(e + 1)/T⌋, at least 1 and at most K.
    """

    name: Literal['global-edge-popup']
    shrink_every: DurationSetting | None = Field(
        None, description='How often the density decreases; by default it is the same throughout.')

    def levels(self, training: TrainingSettings, steps_per_epoch: int) -> list[Level]:
        """The rounds. If `shrink_every` is in iterations, the formula counts iterations instead of epochs."""

        if self.shrink_every is None:
            return [Level(end, self.density) for end in super().round_ends(training, steps_per_epoch)]
        unit = steps_per_epoch if self.shrink_every.unit == 'epochs' else 1
        end, every = training.length.steps(steps_per_epoch), self.shrink_every.steps(steps_per_epoch)
        steps = (end - unit) // every
        bounds = [*(step * every - unit for step in range(2, steps + 1)), end]
        return [Level(bound, self.density ** (step / steps)) for step, bound in enumerate(bounds, 1)]

    def round_ends(self, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        return [level.end for level in self.levels(training, steps_per_epoch)]

    def kept_counts(self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        final = kept_count(layout, self.density)
        densities = [level.density for level in self.levels(training, steps_per_epoch)]
        return [max(final, int(density * layout.prunable_count)) if density > self.density else final
                for density in densities]

    def check(self, training: TrainingSettings, steps_per_epoch: int) -> None:
        super().check(training, steps_per_epoch)
        if self.shrink_every is None:
            return
        refuse_empty_interval('shrink_every', self.shrink_every)
        unit = steps_per_epoch if self.shrink_every.unit == 'epochs' else 1
        if self.shrink_every.steps(steps_per_epoch) > training.length.steps(steps_per_epoch) - unit:
            raise LthError(f'algorithm.shrink_every: the density never decreases, as {self.shrink_every} is not before '
                           f'the end of training, {training.length}. Use a shorter interval or train longer.')


class _Search(base.MaskSearch[EdgePopupSettings]):
    """In round i, `part_counts[i][j]` weights of the part `bounds[j]` of the vector are used: of each layer, or of all.
    """

    def __init__(self, task: Task, settings: EdgePopupSettings) -> None:
        super().__init__(task, settings)
        layout, self.may_prune_all = task.network.layout, False
        self.penalty = Penalty(settings.penalty, settings.regularizer, settings.exponents)
        per_layer = settings.kept_per_layer(layout, task.training, task.steps_per_epoch)
        self.bounds = layout.ranked_parts('global' if per_layer is None else 'layer')
        self.part_counts = [[count] for count in self.counts] if per_layer is None else per_layer
        if per_layer is None:
            self.remedy = _SHRINK_GRADUALLY

    def initial_scores(self, random: torch.Generator) -> Tensor:
        """Kaiming-uniform scores with a = √5, as torch.nn.Linear initializes weights: within ± 1 / √fan_in: (P,)."""

        return torch.cat([
            torch.empty(slot.size).uniform_(-1, 1, generator=random) / math.sqrt(math.prod(slot.shape[1:]))
            for slot in self.task.network.layout.prunable_slots])

    def parametrization(self, start: base.RoundStart) -> Top:
        counts = self.part_counts[start.number]
        return Top(start.weights, self.penalty, self.bounds, counts, self.settings.keep == 'smallest')

    def active_scores(self, _number: int, last: Round) -> Tensor:
        return torch.ones_like(last.ticket.mask)

    def round_masks(self, number: int, active: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        ranked = -scores.abs() if self.settings.keep == 'smallest' else scores.abs()
        mask = masks.keep_best_per_part(
            ranked, active, self.bounds, self.part_counts[number], seeds=self.task.seeds, number=number)
        return mask, mask


def _benchmark_step(task: Task, weights: Tensor) -> Top:
    """Use the largest tenth of each layer."""

    layout = task.network.layout
    counts = [max(1, slot.size // 10) for slot in layout.prunable_slots]
    return Top(weights, Penalty(0.), layout.ranked_parts('layer'), counts)


@ALGORITHMS.register('edge-popup', settings=LayerSettings, benchmark_step=_benchmark_step)
def find_gem(task: Task, settings: LayerSettings, past: Sequence[Round]) -> Iterator[Round]:
    """Train scores of untrained weights; keep the largest of each layer (Ramanujan et al. 2020)."""

    yield from _Search(task, settings).rounds(past)


@ALGORITHMS.register('global-edge-popup', settings=GlobalSettings)
def find_gem_globally(task: Task, settings: GlobalSettings, past: Sequence[Round]) -> Iterator[Round]:
    """Train scores of untrained weights; keep the largest of the whole network, at once or gradually (Rare Gems)."""

    yield from _Search(task, settings).rounds(past)
