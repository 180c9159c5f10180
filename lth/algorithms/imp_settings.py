"""The settings of iterative magnitude pruning, and the numbers of weights that its rounds keep."""
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import BeforeValidator, Field

from lth.algorithms.soup_settings import Copies, SoupChoice
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.criteria import CRITERIA
from lth.pruning.early_bird import MOST_LEVELS
from lth.pruning.layer_collapse import kept_count
from lth.pruning.layer_densities import LAYER_COUNTS
from lth.pruning.mask_actions import MASK_ACTIONS
from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.registered_names import RegisteredName
from lth.recipes.schema import MOST_ROUNDS, AlgorithmSettings, Constant, Cosine, Section, TrainingSettings
from lth.registry.registry import BaseRegistry
from lth.system.yaml_text import Raw
from lth.training.lr_schedules import learning_rates
from lth.training.state import WATCHED

Rate = Annotated[float, Field(gt=0, lt=1)]
Retrain = Literal['weight-rewinding', 'learning-rate-rewinding', 'fine-tuning', 'strategy-2']


def _as_tuple(value: Any) -> Any:
    """A tuple instead of a list: within a union, pydantic 2.10 takes no list for a tuple."""

    return tuple(value) if isinstance(value, list) else value


class Rates(Section):
    """The share of the remaining weights that a round prunes, for each kind of layer. A kind that is only pruned on
    request (`also_prune`) needs a rate then, and has none otherwise.
    """

    convolution: Rate = Field(description='Of convolutions.')
    dense: Rate = Field(description='Of dense layers.')
    output: Rate = Field(description='Of the output layer.')
    recurrent: Rate | None = Field(None, description='Of recurrent layers, if also_prune names them.')
    embedding: Rate | None = Field(None, description='Of embeddings, if also_prune names them.')

    @pydantic.model_serializer(mode='wrap')
    def _without_unused_kinds(self, dump: pydantic.SerializerFunctionWrapHandler) -> Raw:
        """Recipes that do not prune such kinds are written as before there were any."""

        return {kind: rate for kind, rate in dump(self).items() if rate is not None}


class Settings(AlgorithmSettings):
    """Iterative magnitude pruning. With `density` all rounds prune the same share of the remaining weights. With
    several `copies`, each round trains as many from the same weights, and their `soup` takes the place of the trained
    network. `early_bird`: see lth/pruning/early_bird.py.
    """

    ladder: ClassVar[str] = 'rounds'

    name: Literal['magnitude']
    rounds: int = Field(20, ge=0, le=MOST_ROUNDS, description='Number N of prunings; the run has rounds 0 to N.')
    rates: Rate | Rates = Field(
        0.2,
        description='Share of the remaining weights that a round prunes: one number, or one for each kind of layer.')
    density: Rate | None = Field(
        None,
        description='Share of the weights that the last round keeps, exactly ⌊density · P⌋; `rates` is then not used.')
    scope: Literal['layer', 'global'] = Field(
        'layer', description='Rank the weights of each `layer`, or those of all layers together (`global`).')
    criterion: Annotated[str, RegisteredName(CRITERIA)] = Field(
        'magnitude', description='How weights are ranked: a name of `lth list criteria`, or your own function.')
    mask_1_action: Annotated[str, RegisteredName(MASK_ACTIONS.mask_1)] = Field(
        'rewind', description='The values from which kept weights start again: a name of `lth list actions`.')
    mask_0_action: Annotated[str, RegisteredName(MASK_ACTIONS.mask_0)] = Field(
        'zero', description='The values at which pruned weights are frozen: a name of `lth list actions`.')
    rewind: DurationSetting = Field(
        Duration(0, 'iterations'), description='The iteration or epoch to which the weights are rewound.')
    retrain: Retrain = Field('weight-rewinding', description='How a round trains after pruning.')
    shots: Literal['iterative', 'one-shot'] = Field(
        'iterative',
        description='Prune and train in turn, or prune the masks of all rounds from the trained dense network.')
    copies: Copies = 1
    soup: SoupChoice = 'uniform'
    early_bird: Literal['off', 'levels'] | Annotated[
        tuple[Rate, ...], Field(min_length=1, max_length=100), BeforeValidator(_as_tuple)] = Field(
        'off',
        description='Compare the masks at each measurement of round 0, at the densities of all rounds or of a list.')

    @pydantic.model_validator(mode='after')
    def _settings_are_compatible(self) -> 'Settings':
        if self.scope == 'global' and isinstance(self.rates, Rates) and not self.density:
            raise ValueError('global pruning ranks all layers together: give one number as rates, such as `rates: 0.2`')
        _check_kinds_of_rates(self.rates, self.also_prune)
        if self.shots == 'one-shot' and self.retrain == 'strategy-2':
            raise ValueError('one-shot prunes only the dense network, but strategy-2 continues the training of pruned '
                             'networks: leave out shots or retrain')
        if self.mask_1_action != 'rewind' and self.retrain not in ('weight-rewinding', 'strategy-2'):
            raise ValueError(f'mask_1_action {self.mask_1_action} changes rewound weights, but with retrain '
                             f'{self.retrain} weights are never rewound: leave out mask_1_action or retrain')
        if self.mask_0_action == 'toward-zero-all' and self.retrain != 'weight-rewinding':
            raise ValueError(f'mask_0_action toward-zero-all sets kept weights to 0, but with retrain {self.retrain} '
                             'kept weights continue from their trained values: use mask_0_action toward-zero, or leave '
                             'out retrain')
        return self

    @pydantic.model_validator(mode='after')
    def _settings_have_an_effect(self) -> 'Settings':
        if self.density and self.rounds == 0:
            raise ValueError('density is reached by pruning, and there are no prunings: set rounds to 1 or more')
        if self.soup != 'uniform' and self.copies == 1:
            raise ValueError(f'soup {self.soup} selects among copies, but there is one: leave it out, or set copies')
        if self.early_bird == 'levels' and not 1 <= self.rounds <= MOST_LEVELS:
            raise ValueError(f'early_bird levels compares masks of the densities of all rounds, but there are '
                             f'{self.rounds} prunings: prune 1 to {MOST_LEVELS} times, or give a list of densities')
        return self

    @property
    def ladder_obstacle(self) -> str:
        if self.density:
            return f'the counts of all rounds follow from the density of the last one ({self.density})'
        return 'only its last round rewinds (strategy-2)' if self.retrain == 'strategy-2' else ''

    @property
    def soup_sentence(self) -> str:
        if self.copies == 1:
            return ''
        ranks = 'The soup ranks the weights and is the trained network of its round'
        if self.retrain == 'weight-rewinding':
            return f'{ranks}; the next round starts from the rewind point, not from the soup.'
        rewound = ', except the last one, which starts from the rewind point' if self.retrain == 'strategy-2' else ''
        return f'{ranks}; the next round starts from it{rewound}.'

    @property
    def alters_weights(self) -> bool:
        return self.mask_0_action != 'zero'

    @property
    def starts_trained(self) -> bool:
        return self.retrain not in ('weight-rewinding', 'strategy-2')

    def entries(self) -> Sequence[tuple[BaseRegistry[Any], str]]:
        return ((CRITERIA, self.criterion), (MASK_ACTIONS.mask_1, self.mask_1_action),
                (MASK_ACTIONS.mask_0, self.mask_0_action))

    def kept_counts(self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return [sum(counts) for counts in layer_counts(layout, self)]

    def kept_per_layer(
            self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> Sequence[Sequence[int]] | None:
        return layer_counts(layout, self) if self.scope == 'layer' else None

    def trained_steps(
            self, number: int, training: TrainingSettings, steps_per_epoch: int, *, start: int = 0) -> int:
        rewind = self.rewind.steps(steps_per_epoch)
        before = 0 if number else rewind
        return before + self.copies * (training.steps(steps_per_epoch) - rewind)

    def watched_counts(self, layout: Layout) -> tuple[Literal['layer', 'global'], Sequence[Sequence[int]]] | None:
        if self.early_bird == 'off':
            return None
        if self.early_bird == 'levels':
            return self.scope, layer_counts(layout, self)[1:]
        sizes = [stop - start for start, stop in layout.ranked_parts(self.scope)]
        return self.scope, [tuple(masks.floor_share(size, density) for size in sizes)
                            for density in sorted(set(self.early_bird), reverse=True)]

    def check(self, training: TrainingSettings, steps_per_epoch: int) -> None:
        end, rewind = training.cycle_ends(steps_per_epoch)[0], self.rewind.steps(steps_per_epoch)
        if rewind >= end:
            what = f'training, {training.length}' if training.cycles == 1 else 'the first cycle'
            raise LthError(f'algorithm.rewind: {self.rewind} (iteration {rewind}) is not before the end of {what} '
                           f'(iteration {end}). Rewind to an earlier iteration, such as '
                           f'--set "algorithm.rewind={end // 50} iterations", or train longer.')
        if self.retrain == 'fine-tuning' and isinstance(training.schedule, Cosine):
            raise LthError('algorithm.retrain: fine-tuning trains at the last learning rate of the schedule, and a '
                           'cosine schedule ends near 0, where nothing is learned. Use learning-rate-rewinding, or '
                           'another schedule.')
        if self.early_bird != 'off':
            _refuse_few_measurements(training, steps_per_epoch)

    def inverted(self) -> Raw:
        return {'criterion': 'small-final'} if self.criterion == 'magnitude' else super().inverted()

    def continues_training(self, number: int) -> bool:
        """Whether a round starts from trained weights instead of rewound ones."""

        return self.retrain != 'weight-rewinding' and not (self.retrain == 'strategy-2' and number == self.rounds)

    def training_for_round(self, number: int, training: TrainingSettings, steps_per_epoch: int) -> TrainingSettings:
        if number == 0 or self.retrain != 'fine-tuning':
            return training
        rate = float(learning_rates(training, steps_per_epoch)[-1])
        optimizer = training.optimizer.model_copy(update={'learning_rate': rate})
        constant = {'optimizer': optimizer, 'schedule': Constant(name='constant'), 'warmup': Duration(0, 'iterations')}
        return training.model_copy(update=constant)


def _refuse_few_measurements(training: TrainingSettings, steps_per_epoch: int) -> None:
    """Raise an LthError if no mask of round 0 has as many before it as it is compared with."""

    ends, every = training.cycle_ends(steps_per_epoch), training.measure_every.steps(steps_per_epoch)
    measured = {0, *range(every, ends[-1], every)[:WATCHED], *ends}
    if len(measured) <= WATCHED:
        raise LthError(f'algorithm.early_bird: a mask is compared with those of the {WATCHED} measurements before it, '
                       f'but round 0 is measured only {len(measured)} times, at iterations '
                       f'{", ".join(map(str, sorted(measured)))}. Measure more often, such as --set '
                       f'"training.measure_every={max(1, ends[-1] // 10)} iterations", or train longer (-e).')


def _check_kinds_of_rates(rates: float | Rates, also_prune: Sequence[str]) -> None:
    """ValueError unless the kinds in `also_prune`, and no other optional kind, have a rate."""

    given = {kind for kind in ('recurrent', 'embedding') if getattr(rates, kind, None) is not None}
    if not isinstance(rates, Rates) or given == set(also_prune):
        return
    kind = min(given ^ set(also_prune))
    if kind in given:
        raise ValueError(f'rates has a rate for {kind}, but also_prune does not name it: leave the rate out')
    raise ValueError(f'also_prune names {kind}, but rates has no rate for it: add one')


def layer_counts(layout: Layout, settings: Settings) -> list[tuple[int, ...]]:
    """The exact numbers of kept weights in rounds 0 … N: of each prunable layer, or of all layers if they are ranked
    together.
    """

    if settings.density:
        return _counts_to_density(layout, settings, settings.density)
    slots, rate_of = layout.prunable_slots, settings.rates
    sizes = (layout.prunable_count,) if settings.scope == 'global' else tuple(slot.size for slot in slots)
    rates = [rate_of if isinstance(rate_of, float) else getattr(rate_of, slot.kind) for slot in slots]
    counts = [sizes]
    for _ in range(settings.rounds):
        counts.append(tuple(masks.remaining_count(count, rate) for count, rate in zip(counts[-1], rates)))
    return counts


def _counts_to_density(layout: Layout, settings: Settings, density: float) -> list[tuple[int, ...]]:
    """The counts of `layer_counts` if round n of N keeps the share density^(n / N), each layer the same share."""

    total, steps = layout.prunable_count, settings.rounds
    totals = [total, *(int(total * density ** (number / steps)) for number in range(1, steps))]
    totals.append(kept_count(layout, density))
    if settings.scope == 'global':
        return [(count,) for count in totals]
    return [LAYER_COUNTS.find('uniform')(layout.prunable_slots, count) for count in totals]
