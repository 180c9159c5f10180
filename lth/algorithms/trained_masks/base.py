"""Subnetworks found by training a score for each weight, while the weights stay as they were drawn.

What such algorithms share: their settings, and the search itself, cut into rounds so that it can be stopped and resumed
at each. A new one declares its settings on top of `Scored` and yields from `searched` with a `Way` of its own.
"""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth import rng
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.layer_collapse import kept_count, refuse_empty_layers
from lth.pruning.tickets import Round, SearchState, Ticket, dense_ticket
from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.loop import measure, reestimate_batch_norm, train
from lth.training.task import Parametrization, State, Task

Keep = Literal['largest', 'smallest']
SINK = 'Lower algorithm.penalty or the weight decay, which draw scores to 0, or the learning rate'


class Scored(AlgorithmSettings):
    """`density` is the share of prunable weights kept at last, `finetune` how they are trained once they are found.
    `keep` ranks scores upside down if it is `smallest`, which must find nothing good.
    """

    density: Annotated[float, Field(gt=0, le=1)]
    keep: Keep = 'largest'
    finetune: TrainingSettings

    def training_for_round(self, _number: int, _training: TrainingSettings, _steps_per_epoch: int) -> TrainingSettings:
        """As it says itself: the recipe's training is that of scores."""

        return self.finetune


class Saved(Scored):
    """Besides, `save_every` cuts the search into rounds, at whose ends it can be resumed."""

    save_every: DurationSetting = Duration(5, 'epochs')


@dataclass(frozen=True)
class Way:
    """How an algorithm searches. `ends`: the iterations at which its rounds end. `start`: scores (R, P).

    `parametrization` gives that of a round from the drawn weights (R, N). `active` tells where scores train in a round,
    after the one before. `found` gives from a round's number, that mask and the scores the mask that is saved and the
    one that is in force. `dressed` puts weights under a mask: (R, P), (R, N) -> (R, N). What is rounded `may_sink`
    below one half everywhere; `mend` is what helps when a layer is emptied; `as_saved`
    tells whether training measures the network that is saved. `drawn` gives the mean test accuracy of masks drawn from
    the scores at last, where masks are drawn.
    """

    ends: Sequence[int]
    start: Tensor
    parametrization: Callable[[int, Tensor], Parametrization]
    active: Callable[[int, Round], Tensor]
    found: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
    dressed: Callable[[Tensor, Tensor], Tensor]
    may_sink: bool = False
    mend: str = SINK
    as_saved: bool = True
    drawn: Callable[[Tensor], tuple[float, ...]] = lambda _scores: ()


def searched(task: Task, way: Way, past: Sequence[Round]) -> Iterator[Round]:
    """The rounds after those of the past. In the last the network in force is what was found, measured as it is."""

    start = dense_ticket(task)
    last = past[-1] if past else None
    for number in range(len(past), len(way.ends)):
        if last is None:
            active, state = start.mask, State(way.start.to(start.weights), start.buffers)
        else:
            assert last.search is not None
            active = way.active(number, last)
            # Scores that are frozen take no part and have no penalty: 0.
            state = State(last.search.scores * active, last.trained.buffers, last.trained.step, last.search.optimizer)
        parametrization = way.parametrization(number, start.weights)
        trained = train(task, state, until=way.ends[number], trainable=active, parametrization=parametrization)
        last = _round(task, way, number, active, start, trained)
        yield last


def _round(task: Task, way: Way, number: int, active: Tensor, start: Ticket, trained: State) -> Round:
    """What is saved: the mask, the untouched weights under it, and the network in force."""

    mask, above_threshold = way.found(number, active, trained.weights)
    refuse_empty_layers(task, mask, f'The mask of round {number}', way.mend)
    if not way.may_sink:
        refuse_empty_layers(task, above_threshold, f'Rounding scores in round {number}', SINK)
    state = State(way.dressed(above_threshold, start.weights), trained.buffers, trained.step, history=trained.history,
                  engine=trained.engine)
    whole = number + 1 == len(way.ends)
    if whole:
        # The gem is not the network that was in force: on old statistics a ResNet-20 of 46% gave 10%.
        state = reestimate_batch_norm(task, state)
    if whole or not way.as_saved:
        # In place of the network in force before, so that one iteration has one line.
        state = replace(state, history=(*trained.history[:-1], measure(task, state, trained.history[-1].train)))
    ticket = Ticket(mask, way.dressed(mask, start.weights), start.buffers, 0)
    drawn_accuracy = way.drawn(trained.weights) if whole else ()
    return Round(number, ticket, state, SearchState(trained.weights, trained.optimizer, drawn_accuracy))


def may_sink(task: Task, settings: Scored) -> bool:
    """Whether a search may leave no score above one half: one that is upside down, or has nothing to learn, will."""

    return settings.keep == 'smallest' or task.data_settings.labels == 'random'


def best(scores: Tensor, mask: Tensor, count: int, task: Task, number: int, keep: Keep) -> Tensor:
    """Exactly `count` of the mask, of all layers together: those with the largest scores or, upside down, the smallest.
    """

    chosen = masks.keep_best if keep == 'largest' else masks.keep_worst
    return chosen(scores, mask, count, seeds=task.seeds, salt=number * 10_000)


def ends(every: DurationSetting, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
    """The iterations at which rounds end: each such span, and the end of training."""

    step, end = every.steps(steps_per_epoch), training.length.steps(steps_per_epoch)
    return [*range(step, end, step), end]


def saved_counts(layout: Layout, settings: Saved, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
    """The counts of a search in which all scores are active to the end, and the best are kept then."""

    rounds = len(ends(settings.save_every, training, steps_per_epoch))
    return [*[layout.prunable_count] * (rounds - 1), kept_count(layout, settings.density)]


def check_saved(settings: Saved, _training: TrainingSettings, _steps_per_epoch: int) -> None:
    """An LthError if rounds have no length."""

    check_span('save_every', settings.save_every)


def check_span(name: str, span: Duration) -> None:
    """An LthError if a span that is to be repeated is empty."""

    if span.amount < 1:
        raise LthError(f'algorithm.{name}: {span} is no length: give at least 1 epoch or 1 iteration.')


def drawn(task: Task, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
    """The scores of every seed at the start: (R, P)."""

    return torch.stack([draw(rng.generator(seed, 'scores')) for seed in task.seeds])
