"""Lottery Pools: the trained ticket of each round interpolated with those of neighboring rounds, without training.

Yin et al., "Lottery Pools: Winning More by Interpolating Tickets without Increasing Training or Inference Cost". A
round is added only where that raises the validation accuracy, so a pooled ticket is never worse on these images.
"""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import pydantic
import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.tickets import PoolMembers, Round, mask_ticket
from lth.recipes.source_settings import SourceWeights
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.loop import measure, validate
from lth.training.state import State
from lth.training.task import Task

# The shares of another round that are tried.
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
Scope = Literal['global', 'layer']


class Settings(AlgorithmSettings):
    """`source` is the folder of the search, relative to the folder of this run. Its first `levels` rounds are
    candidates, and its `rounds` are pooled as rounds 0, 1 … of this run, which keep `kept` weights. The scope `global`
    prunes all layers together to that number, `layer` each to the number of weights that the ticket keeps there.
    """

    trains: ClassVar[Literal['never']] = 'never'
    finds: ClassVar[Literal['nothing new']] = 'nothing new'
    needs_source: ClassVar[bool] = True

    name: Literal['pool']
    source: str = Field(description='Folder of the source run, relative to the folder of this run.')
    levels: int = Field(ge=2, description='Number of first rounds of the source that are candidates.')
    rounds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)] = Field(
        description='Rounds of the source that are pooled.')
    kept: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = Field(description='Their numbers of weights.')
    scope: Scope = Field('global', description='Prune all layers together, or each to its number of weights.')

    @pydantic.model_validator(mode='after')
    def _rounds_fit(self) -> 'Settings':
        if len(self.rounds) != len(self.kept) or max(self.rounds) >= self.levels:
            raise ValueError('rounds and kept describe the same tickets, of rounds below levels: give as many of each')
        return self

    def kept_counts(self, _layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return list(self.kept)

    def source_rounds(self) -> Sequence[int]:
        return range(self.levels)

    def source_round(self, number: int) -> int:
        return self.rounds[number]

    def source_weights(self, number: int) -> SourceWeights:
        return (*super().source_weights(number), *((level, 'trained') for level in range(self.levels)))


@dataclass(frozen=True)
class _Pooled:
    """A ticket while it is pooled: mask (R, P), state, validation accuracy (R,), and the members of each replicate."""

    mask: Tensor
    state: State
    accuracy: Tensor
    members: tuple[tuple[tuple[int, float], ...], ...]


@ALGORITHMS.register('pool', settings=Settings)
def pool_tickets(
        task: Task, settings: Settings, past: Sequence[Round], *, source: Sequence[Round]) -> Iterator[Round]:
    """Interpolate trained tickets of neighboring rounds, without training (Lottery Pools, Yin et al. 2023)."""

    for number in range(len(past), len(settings.rounds)):
        yield _pooled_round(task, settings, number, source)


def candidates(number: int, levels: int) -> list[int]:
    """The other rounds by their distance from a round: the denser one of two first."""

    ordered = (other for distance in range(1, levels) for other in (number - distance, number + distance))
    return [other for other in ordered if 0 <= other < levels]


def _pooled_round(task: Task, settings: Settings, number: int, source: Sequence[Round]) -> Round:
    """A round of the pool. Its ticket is the mask of the pooled weights at the rewind point of the search."""

    level = settings.rounds[number]
    own = source[level]
    start = replace(own.trained, optimizer={}, history=())
    pooled = _Pooled(own.ticket.mask, start, _accuracies(task, start), ((),) * len(task.seeds))
    before = own.trained.history[-1].test.accuracy
    validation_before = tuple(pooled.accuracy.tolist())
    bounds = task.network.layout.ranked_parts(settings.scope)
    for other in candidates(level, settings.levels):
        pooled = _with_round(task, pooled, source[other].trained, other, bounds)
        if task.checkpoints:
            task.checkpoints.check()
    trained = replace(pooled.state, history=(measure(task, pooled.state),))
    members = tuple(
        PoolMembers(validation, test, tuple(other for other, _ in added), tuple(share for _, share in added))
        for validation, test, added in zip(validation_before, before, pooled.members, strict=True))
    dense = source[0].ticket
    ticket = replace(mask_ticket(dense, pooled.mask), iteration=own.ticket.iteration)
    return Round(number, ticket, trained, pool=members)


def _with_round(
        task: Task, pooled: _Pooled, other: State, number: int, bounds: Sequence[tuple[int, int]]) -> _Pooled:
    """The pool with the best share of another round, in the replicates whose validation accuracy this raises."""

    best = pooled
    for share in SHARES:
        mask, state = _interpolated(task, pooled, other, share, bounds)
        accuracy = _accuracies(task, state)
        better = accuracy > best.accuracy
        members = tuple((*old, (number, share)) if is_better else kept for old, kept, is_better
                        in zip(pooled.members, best.members, better.tolist(), strict=True))
        rows = better.to(mask.device)
        best = _Pooled(torch.where(rows[:, None], mask, best.mask), _select(rows, state, best.state),
                       torch.where(better, accuracy, best.accuracy), members)
    return best


def _interpolated(
        task: Task, pooled: _Pooled, other: State, share: float, bounds: Sequence[tuple[int, int]],
) -> tuple[Tensor, State]:
    """The mask and the state of a pool that is mixed with another state and pruned by magnitude: each part (start,
    stop) of the vector keeps as many weights as before. BatchNorm is estimated again.
    """

    state = pooled.state
    weights = torch.lerp(state.weights, other.weights, share)
    buffers = {name: torch.lerp(buffer, other.buffers[name], share) if buffer.is_floating_point() else buffer
               for name, buffer in state.buffers.items()}
    scores = weights[:, :task.network.layout.prunable_count].abs()
    mask = torch.cat([_largest(row[None], kept[None], bounds, seed)
                      for row, kept, seed in zip(scores, pooled.mask, task.seeds, strict=True)])
    mixed = replace(state, weights=masks.apply_mask(mask, weights), buffers=buffers)
    return mask, task.engine.reestimate_batch_norm(task, mixed)


def _largest(scores: Tensor, kept: Tensor, bounds: Sequence[tuple[int, int]], seed: int) -> Tensor:
    """The mask of the largest scores (1, P), as many in each part as the mask `kept` has there."""

    counts = [int(kept[0, start:stop].sum()) for start, stop in bounds]
    return masks.keep_best_per_part(scores, torch.ones_like(kept), bounds, counts, seeds=(seed,), number=0)


def _accuracies(task: Task, state: State) -> Tensor:
    """The validation accuracy of each replicate: (R,)."""

    return torch.tensor(validate(task, state).accuracy, dtype=torch.float64)


def _select(rows: Tensor, first: State, second: State) -> State:
    """The first state in these replicates, (R,) bool, and the second one in the others."""

    def select(one: Tensor, other: Tensor) -> Tensor:
        return torch.where(rows.view([len(rows), *[1] * (one.dim() - 1)]), one, other)

    buffers = {name: select(buffer, second.buffers[name]) for name, buffer in first.buffers.items()}
    return replace(second, weights=select(first.weights, second.weights), buffers=buffers)
