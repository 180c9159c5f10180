"""The settings of sparse training, and when the mask moves."""
import bisect
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import Field

from lth.algorithms.round_ends import multiples, refuse_empty_interval
from lth.algorithms.sparse_training.methods import METHODS, Event, Length, Method
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.layer_collapse import kept_count
from lth.pruning.layer_densities import LAYER_COUNTS
from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.registered_names import RegisteredName
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.registry.registry import BaseRegistry
from lth.system.yaml_text import Raw

# Without `save_every` there are this many rounds.
_ROUNDS = 10
# What the recipe of one method sets for all others too.
_COMMON = ('name', 'density', 'layers', 'keep_out', 'save_every')


class Settings(AlgorithmSettings):
    """A training whose mask moves: each event replaces a share of the active weights of each layer. None stands for
    the default of the method.
    """

    trains: ClassVar[Literal['throughout']] = 'throughout'
    finds: ClassVar[Literal['sparse networks']] = 'sparse networks'

    name: Literal['sparse-training']
    method: Annotated[str, RegisteredName(METHODS)] = Field(description='A name of `lth list sparse-methods`.')
    density: Annotated[float, Field(gt=0, le=1)] = Field(
        description='Share of the prunable weights that is active at the end.')
    layers: Annotated[str, RegisteredName(LAYER_COUNTS)] = Field(
        'erk', description='How a random mask distributes its weights over the layers.')
    initial_density: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description='Density at the start, for methods that start dense.')
    update_every: DurationSetting | None = Field(None, description='How often the mask moves.')
    update_from: DurationSetting | None = Field(None, description='When the mask moves first.')
    update_until: DurationSetting | None = Field(None, description='When the mask moves last.')
    drop_fraction: float | None = Field(
        None, ge=0, lt=1, description='Share of the active weights of a layer that an event replaces.')
    drop_schedule: Literal['constant', 'cosine'] | None = Field(
        None, description='Whether that share stays constant, or falls to 0 as half a cosine.')
    save_every: DurationSetting | None = Field(
        None, description='How often a round is saved: by default every tenth of the training.')

    @pydantic.model_validator(mode='after')
    def _settings_have_an_effect(self) -> Self:
        if not METHODS.has(self.method):
            return self
        optional = ('initial_density', 'update_every', 'update_from', 'update_until', 'drop_fraction', 'drop_schedule')
        for name in optional:
            if getattr(self, name) is not None and name not in self.row.options:
                raise ValueError(f'{name} has no effect on the method {self.method}: leave it out')
        if self.initial_density is not None and self.initial_density < self.density:
            raise ValueError(f'initial_density {self.initial_density} is below the density {self.density} of the end: '
                             'start with at least as many weights')
        return self

    @property
    def row(self) -> Method:
        """The method."""

        return METHODS.find(self.method)

    @property
    def short_name(self) -> str:
        return self.method

    def entries(self) -> Sequence[tuple[BaseRegistry[Any], str]]:
        return ((METHODS, self.method),)

    def initial_share(self) -> float:
        """The density at the start."""

        default = 1. if self.row.starts == 'dense' else self.density
        return default if self.initial_density is None else self.initial_density

    def start_counts(self, layout: Layout) -> tuple[int, ...]:
        """The number of active weights of each layer at the start, ⌊density · P⌋ in total."""

        count = masks.floor_share(layout.prunable_count, self.initial_share())
        return LAYER_COUNTS.find(self.layers)(layout.prunable_slots, count)

    def event_steps(self, training: TrainingSettings, steps_per_epoch: int) -> range:
        """The iterations at which the mask moves: all of them after the start and before the end of training."""

        end = training.steps(steps_per_epoch)
        if not self.row.moves:
            return range(0)
        every = max(1, _steps(self.update_every or self.row.every, end, steps_per_epoch))
        first = _steps(self.update_from or self.row.first or Duration(every, 'iterations'), end, steps_per_epoch)
        return range(max(1, first), min(self.last_update(training, steps_per_epoch), end - 1) + 1, every)

    def last_update(self, training: TrainingSettings, steps_per_epoch: int) -> int:
        """T_end: no event is later."""

        end = training.steps(steps_per_epoch)
        return _steps(self.update_until or self.row.until, end, steps_per_epoch)

    def drop_share(self, step: int, last: int) -> float:
        """α_t = (α₀/2)(1 + cos(π t / T_end)), or the constant α₀."""

        fraction = self.row.fraction if self.drop_fraction is None else self.drop_fraction
        anneals = self.row.anneals if self.drop_schedule is None else self.drop_schedule == 'cosine'
        return fraction / 2 * (1 + math.cos(math.pi * min(1., step / last))) if anneals else fraction

    def active_counts(self, events: int, weights: int) -> list[int]:
        """The number of active weights at the start and after each event, of so many prunable ones: all of them where
        the size of the method says more than before.
        """

        initial, final = (masks.floor_share(weights, share) for share in (self.initial_share(), self.density))
        counts = [initial]
        for number in range(1, events + 1):
            count = self.row.size(Event(number, events), initial, final)
            counts.append(weights if count > counts[-1] else count)
        return counts

    def round_ends(self, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        """The iterations at which rounds end."""

        end = training.steps(steps_per_epoch)
        if self.save_every is None:
            return sorted({end * number // _ROUNDS for number in range(1, _ROUNDS + 1)} - {0})
        return multiples(self.save_every, training, steps_per_epoch)

    def kept_counts(self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        # First, as a distribution over layers may need more than one weight in each of them.
        start = self.start_counts(layout)
        kept_count(layout, self.density)
        self._refuse_static_mask(start, layout, training, steps_per_epoch)
        steps = self.event_steps(training, steps_per_epoch)
        counts = self.active_counts(len(steps), layout.prunable_count)
        # An event at the end of a round belongs to the next one.
        return [counts[bisect.bisect_left(steps, end)] for end in self.round_ends(training, steps_per_epoch)]

    def kept_per_layer(
            self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> Sequence[Sequence[int]] | None:
        if self.row.starts == 'dense':
            return None
        return [self.start_counts(layout)] * len(self.round_ends(training, steps_per_epoch))

    def trained_steps(
            self, number: int, training: TrainingSettings, steps_per_epoch: int, *, start: int = 0) -> int:
        ends = [0, *self.round_ends(training, steps_per_epoch)]
        return ends[number + 1] - ends[number]

    def check(self, training: TrainingSettings, steps_per_epoch: int) -> None:
        end = training.steps(steps_per_epoch)
        for name in ('update_every', 'save_every'):
            duration = getattr(self, name)
            if duration is not None:
                refuse_empty_interval(name, duration)
        self.round_ends(training, steps_per_epoch)  # raises LthError for too many
        if self.update_until and self.update_until.steps(steps_per_epoch) > end:
            raise LthError(f'algorithm.update_until: {self.update_until} is after the end of training, '
                           f'{training.length} (iteration {end}). Give at most that, or let {self.method} move the '
                           'mask for its usual share of the training: --set algorithm.update_until=null.')
        if self.row.moves and not self.event_steps(training, steps_per_epoch):
            raise LthError(self._no_events(training, steps_per_epoch))

    def _no_events(self, training: TrainingSettings, steps_per_epoch: int) -> str:
        end = training.steps(steps_per_epoch)
        last = min(self.last_update(training, steps_per_epoch), end - 1)
        of_training = f'of a training of {end:,} ({training.length})'
        if not last and self.update_until and end > 1:
            return ('algorithm.update_until: the mask would never move: it moves first at iteration 1, but last at '
                    f'iteration 0 {of_training}. Give more than {self.update_until}, or leave it out.')
        if not last:
            return (f'training.length: the mask would never move: by {self.method} it moves last at iteration 0 '
                    f'{of_training}. Train longer (-e), use smaller batches (-b), or use a static mask: --method '
                    'static.')
        if self.update_from and self.update_from.steps(steps_per_epoch) > last:
            return (f'algorithm.update_from: the mask would never move: {self.update_from} (iteration '
                    f'{self.update_from.steps(steps_per_epoch):,}) is after its last possible move, at iteration '
                    f'{last:,} {of_training}. Give less, or leave it out.')
        every = Duration(_steps(self.update_every or self.row.every, end, steps_per_epoch), 'iterations')
        return (f'algorithm.update_every: the mask would never move: it moves every {every}, last at iteration '
                f'{last:,} {of_training}. Move it more often, such as --update-every {max(1, last // 20)}, or train '
                'longer (-e).')

    def _refuse_static_mask(
            self, start: Sequence[int], layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> None:
        """Raise an LthError if the layers have so few weights that no event replaces one."""

        if self.row.starts == 'dense' or not self.row.moves or self.drop_fraction == 0:
            return
        first, last = self.event_steps(training, steps_per_epoch)[0], self.last_update(training, steps_per_epoch)
        share, most = self.drop_share(first, last), max(start)
        if math.floor(share * most) == 0:
            least = self._least_density(share, layout, sum(start))
            remedy = 'No density is enough: ' if least is None else f'Give a density of at least {least:.2g}, '
            raise LthError(
                f'algorithm.density: at {self.density:.6g} no layer has more than {most} active weights, and an event '
                f'replaces at most {share:.2g} of them, rounded down to none: the mask would never move. {remedy}'
                'replace a larger share (--drop-fraction), or use a static mask: --method static.')

    def _least_density(self, share: float, layout: Layout, least: int) -> float | None:
        """The least density of two digits, of at least so many weights, at which this share of the active weights of a
        layer is one or more; None if there is none.
        """

        weights, counts = layout.prunable_count, LAYER_COUNTS.find(self.layers)

        def replaced(count: int) -> int:
            return math.floor(share * max(counts(layout.prunable_slots, count)))

        if not replaced(weights):
            return None
        enough = bisect.bisect_left(range(weights + 1), 1, lo=least, key=replaced)
        densities = (min(1., density) for density in masks.sufficient_shares(weights, enough))
        return next(density for density in densities if replaced(masks.floor_share(weights, density)))


def with_method(section: Any, method: Any) -> Raw:
    """The section `algorithm` of a recipe for sparse training by this method, None for that of the section or RigL.
    What is only for the algorithm or the method that the section had is left out.
    """

    raw: Raw = dict(section) if isinstance(section, dict) else {}
    if raw.get('name') != 'sparse-training':
        raw = {'name': 'sparse-training', 'method': 'rigl', 'keep_out': raw.get('keep_out', [])}
    old = raw.get('method')
    if not isinstance(method, str) or not isinstance(old, str) or METHODS.find(method) is METHODS.find(old):
        return raw
    names = {*_COMMON, *_timing_names(METHODS.find(method))}
    return {name: value for name, value in raw.items() if name in names} | {'method': METHODS.canonical(method)}


def _timing_names(method: Method) -> tuple[str, ...]:
    """The settings that say when the mask moves, if they can be those of another method."""

    in_iterations = isinstance(method.every, Duration) and method.every.unit == 'iterations'
    return ('update_every', 'update_from', 'update_until') if method.moves and in_iterations else ()


def _steps(length: Length, end: int, steps_per_epoch: int) -> int:
    """A length in iterations; a share is one of the training."""

    return math.floor(length * end) if isinstance(length, Fraction) else length.steps(steps_per_epoch)
