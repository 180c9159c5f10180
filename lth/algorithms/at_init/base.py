"""Pruning at initialisation: what the algorithms share that choose a mask before any weight was trained.

Each makes one round of exactly ⌊density · P⌋ weights, all as they were drawn. The recipe's `training` is how these are
trained afterwards; its first batches are also those that scores are measured on. A new one is a function
(task, settings, start) -> mask with `@chooses(name, Settings)` above it.
"""
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lth.algorithms.base import Find, algorithm
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers
from lth.pruning import masks
from lth.pruning.layer_collapse import kept_count, refuse_empty_layers
from lth.pruning.tickets import Round, Ticket, dense_ticket
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.engines.batches import Batches
from lth.training.engines.dropout_rng import seed_dropout
from lth.training.loop import measure
from lth.training.task import State, Task

_MEND = 'Choose random or smart-ratio, which keep some of every layer'
Score = Callable[[Task, Tensor, Buffers], Tensor]
LossAt = Callable[[int], Tensor]
Choose = Callable[[Task, Any, Ticket], Tensor]


class Sparse(AlgorithmSettings):
    """`density` is the share of prunable weights kept."""

    density: Annotated[float, Field(gt=0, le=1)]


class Ranked(Sparse):
    """`keep: smallest` ranks upside down, and keeps what is otherwise the last to be kept: a sanity check."""

    keep: Literal['largest', 'smallest'] = 'largest'


class Measured(Ranked):
    """`batches` are those that scores are measured on."""

    batches: int = Field(1, ge=1)


def kept(layout: Layout, settings: Sparse, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
    """The count of the one round."""

    return [counted(layout, settings)]


def counted(layout: Layout, settings: Sparse) -> int:
    """⌊density · P⌋, or an LthError if that is less than one for each layer."""

    return kept_count(layout, settings.density)


def unchecked(_settings: Sparse, _training: TrainingSettings, _steps_per_epoch: int) -> None:
    """All that can be wrong is told by the counts."""


def check_batches(settings: Measured, training: TrainingSettings, steps_per_epoch: int) -> None:
    """An LthError if there are not so many batches."""

    if settings.batches > steps_per_epoch:
        raise LthError(f'algorithm.batches: {settings.batches} is more than the {steps_per_epoch} batches of '
                       f'{training.batch_size} in an epoch. Take fewer, or smaller ones (-b).')


def chooses(
        name: str, settings: type[Sparse], *, counts: Callable[[Layout, Any, TrainingSettings, int], list[int]] = kept,
        check: Callable[[Any, TrainingSettings, int], None] = unchecked) -> Callable[[Choose], Find]:
    """A decorator that registers a choice of a mask (R, P), given the network as it was drawn, as an algorithm."""

    def add(choose: Choose) -> Find:

        @functools.wraps(choose)
        def find_gem(task: Task, settings: Sparse, past: Sequence[Round]) -> Iterator[Round]:
            if not past:
                start = dense_ticket(task)
                yield gem(task, settings, start, choose(task, settings, start))
        return algorithm(name, settings, kept=counts, check=check, trains='never', finds='gems')(find_gem)
    return add


def gem(task: Task, settings: Sparse, start: Ticket, mask: Tensor) -> Round:
    """The one round: the drawn weights under the mask (R, P), and how good they are untrained. A mask that leaves a
    layer empty is an LthError.
    """

    refuse_empty_layers(task, mask, f'Choosing weights by {settings.name}', _MEND)
    state = State(masks.apply_mask(mask, start.weights), start.buffers)
    state = replace(state, history=(measure(task, state),))
    return Round(0, Ticket(mask, state.weights, start.buffers, 0), state)


def ranked(task: Task, settings: Ranked, scores: Tensor) -> Tensor:
    """The mask of the best of all layers together: (R, P) -> (R, P)."""

    count = counted(task.network.layout, settings)
    return cut(task, settings, scores, torch.ones_like(scores, dtype=torch.bool), count)


def cut(task: Task, settings: Ranked, scores: Tensor, mask: Tensor, count: int, *, salt: int = 0) -> Tensor:
    """The mask with `count` survivors left: the best scored, or those that are left when the best are taken away, so
    that both have nothing in common where there is room for both, also where scores tie.
    """

    for seed, row in zip(task.seeds, scores):
        if not row.isfinite().all():
            raise LthError(f'Scores by {settings.name} of seed {seed} are not finite numbers: the untrained network '
                           'overflows. Choose another model.initializer, or data.normalization=standardize.')
    chosen = masks.keep_best if settings.keep == 'largest' else masks.keep_worst
    return chosen(scores, mask, count, seeds=task.seeds, salt=salt)


def spread(task: Task, counts: Sequence[int]) -> Tensor:
    """The mask of so many weights of each layer at random: (R, P)."""

    sizes = [slot.size for slot in task.network.layout.prunable_slots]
    return masks.random_mask(sizes, counts, seeds=task.seeds).to(task.engine.device)


def seed_by_seed(task: Task, start: Ticket, score: Score) -> Tensor:
    """Scores (R, P) from those of each seed alone, given a task of one seed, weights (N,) and buffers."""

    rows = []
    for row, seed in enumerate(task.seeds):
        buffers = {name: buffer[row] for name, buffer in start.buffers.items()}
        rows.append(score(replace(task, seeds=(seed,)), start.weights[row], buffers))
    return torch.stack(rows)


def losses_of(
        task: Task, weights: Tensor, buffers: Buffers, *, batches: int, temperature: float = 1.,
) -> tuple[Sequence[Tensor], LossAt]:
    """The prunable parameters of one network in training mode as leaves, and the loss on each of its first batches, of
    the same pictures and noise whenever it is asked for. Weights and buffers are left alone.
    """

    module = task.network.bind(weights.clone(), {name: buffer.clone() for name, buffer in buffers.items()})
    drawn = Batches(task, weights.dtype)
    drawn.begin(0)
    pictures = [drawn.at(columns) for columns in drawn.columns[:batches]]

    def loss_at(number: int) -> Tensor:
        images, labels = pictures[number]
        with seed_dropout(task) as begin_noise:
            begin_noise(number)
            return F.cross_entropy(module(images[0]) / temperature, labels[0])
    return prunable(task.network.layout, module), loss_at


def prunable(layout: Layout, module: nn.Module) -> Sequence[Tensor]:
    """The prunable parameters of a module, as they lie in the vector."""

    named = dict(module.named_parameters())
    return [named[slot.name] for slot in layout.prunable_slots]


def mean_gradient(layout: Layout, parameters: Sequence[Tensor], loss_at: LossAt, *, batches: int) -> Tensor:
    """The gradient of the mean loss of the first batches by the prunable weights: (P,)."""

    gradients = [packed(layout, torch.autograd.grad(loss_at(number), parameters, materialize_grads=True))
                 for number in range(batches)]
    return torch.stack(gradients).mean(0)


def packed(layout: Layout, tensors: Sequence[Tensor]) -> Tensor:
    """One tensor for each prunable parameter as a vector: (P,)."""

    return layout.pack({slot.name: tensor for slot, tensor in zip(layout.prunable_slots, tensors, strict=True)})
