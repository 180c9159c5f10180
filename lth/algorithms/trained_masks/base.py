"""Subnetworks found by training a score for each weight, while the weights keep their initial values.

The training of scores is divided into rounds, so that it can be stopped and resumed at each of them. To add an
algorithm, declare its settings in a subclass of `PeriodicSettings`, define how scores select weights in a subclass of
`MaskSearch`, and register a generator that yields from its `rounds`.
"""
import abc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Generic, Literal, NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from lth import rng
from lth.algorithms.round_ends import multiples, refuse_empty_interval
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.layer_collapse import kept_count, refuse_empty_layers
from lth.pruning.tickets import Round, SearchState, Ticket, dense_ticket
from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.system.yaml_text import Raw
from lth.training.loop import measure, train
from lth.training.state import State
from lth.training.task import Parametrization, Task

_LOWER_PENALTY = 'Reduce algorithm.penalty or the weight decay, which pull scores towards 0, or the learning rate'


class TrainedMaskSettings(AlgorithmSettings):
    """`density` is the share of prunable weights that is kept at the end, `finetune` how these weights are trained
    later. With `keep: smallest` the ranking of scores is inverted, as a sanity check.
    """

    trains: ClassVar[Literal['throughout']] = 'throughout'
    trains_scores: ClassVar[bool] = True
    finds: ClassVar[Literal['gems']] = 'gems'
    preset_keys: ClassVar[tuple[str, ...]] = ('finetune',)

    density: Annotated[float, Field(gt=0, le=1)] = Field(description='Share of the prunable weights that is kept.')
    keep: Literal['largest', 'smallest'] = Field(
        'largest', description='Which scores are kept; `smallest` inverts the ranking, as a sanity check.')
    finetune: TrainingSettings = Field(description='How the weights of the gem are trained by finetuning.')

    @property
    def penalty_factors(self) -> tuple[tuple[str, float], ...]:
        """The settings that pull scores towards 0, with their factors: the penalty if there is one."""

        factor = getattr(self, 'penalty', None)
        return () if factor is None else (('algorithm.penalty', factor),)

    def training_for_round(self, _number: int, _training: TrainingSettings, _steps_per_epoch: int) -> TrainingSettings:
        """The setting `finetune`: the recipe's `training` is the training of scores."""

        return self.finetune

    def round_ends(self, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        """The iterations at which the rounds end."""

        raise NotImplementedError(f'{type(self)} must define round_ends')

    def trained_steps(
            self, number: int, training: TrainingSettings, steps_per_epoch: int, *, start: int = 0) -> int:
        ends = [0, *self.round_ends(training, steps_per_epoch)]
        return ends[number + 1] - ends[number]

    def inverted(self) -> Raw:
        return {'keep': 'smallest'}


class PeriodicSettings(TrainedMaskSettings):
    """A round ends every `save_every`. All scores stay active until the best are selected in the last round."""

    save_every: DurationSetting = Field(Duration(5, 'epochs'), description='How often a round is saved.')

    def round_ends(self, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        return multiples(self.save_every, training, steps_per_epoch)

    def kept_counts(self, layout: Layout, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
        """All prunable weights, and ⌊density · P⌋ in the last round."""

        rounds = len(self.round_ends(training, steps_per_epoch))
        return [*[layout.prunable_count] * (rounds - 1), kept_count(layout, self.density)]

    def step_operations(self, dense: int, _kept: int) -> int:
        """All scores are trained, and any weight may be used in a step: those of the dense network."""

        return 3 * dense

    def check(self, _training: TrainingSettings, _steps_per_epoch: int) -> None:
        refuse_empty_interval('save_every', self.save_every)


Settings = TypeVar('Settings', bound=TrainedMaskSettings)


class RoundStart(NamedTuple):
    """What a round starts with: its number, the initial weights (R, N), and the factors λ of the penalty, one for each
    replicate; () if they are those of the settings.
    """

    number: int
    weights: Tensor
    penalties: tuple[float, ...] = ()


class MaskSearch(abc.ABC, Generic[Settings]):
    """The training of scores (R, P). Subclasses define how scores select weights.

    `ends` are the iterations at which rounds end, `counts` the numbers of weights that rounds keep. `may_prune_all`:
    whether the scores may leave a layer without weights in a round, as in a search that has nothing to learn.
    `trains_saved_network`: whether training measures the network of the mask that is saved. `remedy` is the first
    advice if the saved mask leaves a layer empty, `rounding_remedy` if rounded scores do. `records_selected`: whether
    rounds record how many weights the scores select, which the last round replaces by its count.
    """

    trains_saved_network, records_selected = True, False
    remedy = rounding_remedy = _LOWER_PENALTY

    def __init__(self, task: Task, settings: Settings) -> None:
        self.task, self.settings = replace(task, penalties=settings.penalty_factors), settings
        self.ends = settings.round_ends(task.training, task.steps_per_epoch)
        self.counts = settings.kept_counts(task.network.layout, task.training, task.steps_per_epoch)
        self.may_prune_all = settings.keep == 'smallest' or task.data_settings.labels == 'random'

    @abc.abstractmethod
    def initial_scores(self, random: torch.Generator) -> Tensor:
        """The scores of one replicate before training: (P,)."""

    @abc.abstractmethod
    def parametrization(self, start: RoundStart) -> Parametrization:
        """How scores select weights in the training steps of a round."""

    def penalties(self, _last: Round | None) -> tuple[float, ...]:
        """The factors λ of the round after `last`, one for each replicate; () if they are those of the settings."""

        return ()

    def above_threshold(self, scores: Tensor) -> Tensor:
        """The weights that the scores select during training: (R, P) -> (R, P)."""

        return scores > 0.5

    def round_masks(self, number: int, active: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The mask that is saved at the end of a round, and the mask of the weights that the trained scores select,
        given the scores that were active in the round: (R, P), (R, P) -> (R, P), (R, P). By default these are the
        active scores and those above the threshold; in the last round both are the best scores.
        """

        if number + 1 < len(self.ends):
            return active, self.above_threshold(scores)
        best = self.best(scores, active, number)
        return best, best

    def active_scores(self, _number: int, last: Round) -> Tensor:
        """The scores that are trained in a round, all others being frozen at 0, given the round before: (R, P)."""

        return last.ticket.mask

    def masked_weights(self, mask: Tensor, weights: Tensor, _scores: Tensor) -> Tensor:
        """The network's weights under a mask, given the initial weights and the trained scores: (R, P), (R, N), (R, P)
        -> (R, N).
        """

        return masks.apply_mask(mask, weights)

    def best(self, scores: Tensor, mask: Tensor, number: int) -> Tensor:
        """The mask reduced to the count of a round: the weights with the largest scores in the whole network, or with
        `keep: smallest` the smallest.
        """

        select = masks.keep_best if self.settings.keep == 'largest' else masks.keep_worst
        return select(scores, mask, self.counts[number], seeds=self.task.seeds, salt=number * 10_000)

    def rounds(self, past: Sequence[Round]) -> Iterator[Round]:
        """The rounds after those of the past. The last one holds the gem: the saved mask is the network measured."""

        dense = dense_ticket(self.task)
        last = past[-1] if past else None
        for number in range(len(past), len(self.ends)):
            start = RoundStart(number, dense.weights, self.penalties(last))
            active, state = self._initial_state(dense) if last is None else self._next_state(number, last)
            trained = train(self.task, state, until=self.ends[number], trainable=active,
                            parametrization=self.parametrization(start))
            last = self._round(start, active, dense, trained)
            yield last

    def _initial_state(self, dense: Ticket) -> tuple[Tensor, State]:
        """The active scores of round 0, all of them, and the state from which it trains."""

        scores = torch.stack([self.initial_scores(rng.generator(seed, 'scores')) for seed in self.task.seeds])
        return dense.mask, State(scores.to(dense.weights), dense.buffers)

    def _next_state(self, number: int, last: Round) -> tuple[Tensor, State]:
        """The active scores of a round, and the state from which it trains, after the round before."""

        assert last.search is not None
        active = self.active_scores(number, last)
        # Frozen scores are 0, so that they have no penalty.
        scores = last.search.scores * active
        return active, State(scores, last.trained.buffers, last.trained.step, last.search.optimizer)

    def _round(self, start: RoundStart, active: Tensor, dense: Ticket, trained: State) -> Round:
        """What is saved: the mask, the initial weights under it, and the network that the scores select."""

        number = start.number
        mask, above_threshold = self.round_masks(number, active, trained.weights)
        refuse_empty_layers(self.task, mask, f'The mask of round {number}', self.remedy)
        if not self.may_prune_all:
            cause = f'Rounding scores in round {number}'
            refuse_empty_layers(self.task, above_threshold, cause, self.rounding_remedy)
        is_last = number + 1 == len(self.ends)
        weights = self.masked_weights(above_threshold, start.weights, trained.weights)
        state = self._measured_state(weights, trained, is_last=is_last)
        ticket = Ticket(mask, self.masked_weights(mask, start.weights, trained.weights), dense.buffers, 0)
        sampled = self.settings.sampled_accuracy(self.task, trained.weights) if is_last else ()
        selected = self.above_threshold(trained.weights).sum(1).tolist() if self.records_selected else []
        search = SearchState(trained.weights, trained.optimizer, sampled, start.penalties, tuple(selected))
        return Round(number, ticket, state, search)

    def _measured_state(self, weights: Tensor, trained: State, *, is_last: bool) -> State:
        """The network with these weights (R, N) after the training of the scores, with its measurements."""

        state = State(weights, trained.buffers, trained.step, history=trained.history, engine=trained.engine)
        if is_last:
            # The gem differs from the network of the last step: with its statistics a ResNet-20 had 10% instead of 46%.
            state = self.task.engine.reestimate_batch_norm(self.task, state)
        if is_last or not self.trains_saved_network:
            # Replaces the last measurement, so that each iteration has one line.
            measurement = measure(self.task, state, trained.history[-1].train)
            state = replace(state, history=(*trained.history[:-1], measurement))
        return state
