"""Early-bird tickets: masks that are drawn while the dense network of a search trains, next to those at its end.

You et al. 2020 ("Drawing Early-Bird Tickets") prune as soon as the mask hardly changes any more. A search with
`early_bird` records when, but stores no masks. So the dense network is trained again up to there, with the same order
of images, and pruned. The ticket then trains from the rewind point of the search to the end of its schedule.
"""
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning.early_bird import THRESHOLD, MaskWatch, emergence
from lth.pruning.tickets import Round, dense_ticket, mask_ticket, train_ticket
from lth.recipes.source_settings import SourceWeights
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.loop import train
from lth.training.state import State
from lth.training.task import Task

_Counts = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)]
Drawn = Literal['early', 'end']


class Settings(AlgorithmSettings):
    """`source` is the folder of the search, relative to the folder of this run. Of the masks that it compared, those
    with the numbers `masks` are drawn, as rounds 0, 1 … of this run. `counts` are the numbers of weights that each
    keeps in the parts of the `scope`. They are drawn at the early bird of each seed, by the normalised distance
    `threshold`, or at the end of training.
    """

    finds: ClassVar[Literal['nothing new']] = 'nothing new'
    needs_source: ClassVar[bool] = True

    name: Literal['early-bird']
    source: str = Field(description='Folder of the source run, relative to the folder of this run.')
    round: Literal[0] = Field(0, description='The round of the source in whose training masks are drawn.')
    masks: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)] = Field(
        description='Which of the masks that the source compared are drawn.')
    counts: Annotated[tuple[_Counts, ...], Field(strict=False, min_length=1)] = Field(
        description='Their numbers of weights, in each layer or in all together.')
    scope: Literal['layer', 'global'] = Field(
        description='Rank the weights of each `layer`, or those of all layers together (`global`).')
    threshold: float = Field(
        THRESHOLD, ge=0, le=1, description='Largest normalised distance of an early bird to the masks before it.')
    drawn: Drawn = Field('early', description='Draw the masks at the early bird, or at the end of training.')

    def kept_counts(self, _layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return list(map(sum, self.counts))

    def kept_per_layer(
            self, _layout: Layout, _training: TrainingSettings, _steps_per_epoch: int,
    ) -> Sequence[Sequence[int]] | None:
        return self.counts if self.scope == 'layer' else None

    def source_rounds(self) -> Sequence[int]:
        return (self.round,)

    def source_round(self, _number: int) -> int:
        return self.round

    def table_round(self, number: int) -> int:
        return number

    def source_weights(self, number: int) -> SourceWeights:
        ticket = super().source_weights(number)
        return ticket if self.drawn == 'early' else (*ticket, (self.round, 'trained'))


@ALGORITHMS.register('early-bird', settings=Settings)
def draw_early_birds(
        task: Task, settings: Settings, past: Sequence[Round], *, source: Sequence[Round]) -> Iterator[Round]:
    """Train the masks that a search would prune to as soon as they hardly change (You et al. 2020)."""

    dense, parts = source[0], task.network.layout.ranked_parts(settings.scope)
    watches = [MaskWatch(parts, [counts]) for counts in settings.counts]
    missing = range(len(past), len(watches))
    iterations = {number: _iterations(task, settings, dense, number) for number in missing}
    drawn = _draw(dense.ticket.mask, iterations, watches, _weights(task, settings, dense, iterations))
    for number in missing:
        ticket = mask_ticket(dense.ticket, drawn[number])
        yield Round(number, ticket, train_ticket(task, ticket))


def _iterations(task: Task, settings: Settings, dense: Round, number: int) -> list[int]:
    """The iteration at which the mask of a round is drawn, for each replicate."""

    history = dense.trained.history
    if settings.drawn == 'end':
        return [history[-1].iteration] * len(task.seeds)
    assert dense.watched
    mask = settings.masks[number]
    limit, found = settings.threshold * dense.watched.chance[mask], list[int]()
    for row, seed in enumerate(task.run_seeds):
        measured = [(one.iteration, one.differing[row][mask]) for one in history if one.differing]
        iteration = emergence(measured, limit)
        if iteration is None:
            raise LthError(f'Seed {seed} of {settings.source} has no early bird that keeps '
                           f'{sum(settings.counts[number])} weights, by a distance of at most '
                           f'{settings.threshold:g}. Choose a larger --threshold.')
        found.append(iteration)
    return found


def _draw(
        dense: Tensor, iterations: Mapping[int, Sequence[int]], watches: Sequence[MaskWatch],
        weights: Iterable[tuple[int, Tensor]]) -> dict[int, Tensor]:
    """The masks of rounds, like the `dense` one (R, P), of the weights at the iteration of each round and replicate."""

    drawn = {number: torch.zeros_like(dense) for number in iterations}
    for stop, present in weights:
        for number, rows in iterations.items():
            for row in (row for row, iteration in enumerate(rows) if iteration == stop):
                drawn[number][row] = (watches[number].levels(present[row].cpu()) > 0).to(dense.device)
    return drawn


def _weights(
        task: Task, settings: Settings, dense: Round, iterations: Mapping[int, Sequence[int]],
) -> Iterator[tuple[int, Tensor]]:
    """The weights (R, N) of the dense networks at each of these iterations: those at the end are at hand, those before
    are trained again.
    """

    if settings.drawn == 'end':
        yield dense.trained.history[-1].iteration, dense.trained.weights
        return
    ticket, state = dense.ticket, None
    for stop in sorted(set(itertools.chain.from_iterable(iterations.values()))):
        if state is None or state.step < ticket.iteration < stop:
            start = dense_ticket(task) if stop < ticket.iteration else ticket
            state = State(start.weights, start.buffers, start.iteration)
        state = train(task, state, until=stop, trainable=task.network.layout.trainable_mask(ticket.mask))
        yield stop, state.weights
