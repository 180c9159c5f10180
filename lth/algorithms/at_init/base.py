"""Pruning at initialization: settings and mask selection that the algorithms share.

Each algorithm makes one round, in which exactly ⌊density · P⌋ weights are kept at their initial values. The recipe's
`training` says how they are trained later; its first batches are also the batches on which scores are computed. To add
an algorithm, write a function (task, settings, start) -> mask (R, P) with `@ALGORITHMS.register(name,
settings=Settings)` and `@mask_at_init` above it. Gradients of the loss are computed in loss_gradients.py.
"""
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers, replicate_buffers
from lth.pruning import masks
from lth.pruning.layer_collapse import kept_count, refuse_empty_layers
from lth.pruning.tickets import Round, Ticket, dense_ticket
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.system.yaml_text import Raw
from lth.training.loop import measure
from lth.training.state import State
from lth.training.task import Task

Statistics = Literal['batch', 'warm', 'initial']
Score = Callable[[Task, Tensor, Buffers], Tensor]
Mask = Callable[[Task, Any, Ticket], Tensor]


class AtInitSettings(AlgorithmSettings):
    """`density` is the share of prunable weights that is kept."""

    trains: ClassVar[Literal['never']] = 'never'
    finds: ClassVar[Literal['gems']] = 'gems'
    preset: ClassVar[str] = 'gem-at-init'

    density: Annotated[float, Field(gt=0, le=1)] = Field(description='Share of the prunable weights that is kept.')

    def kept_counts(self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        """⌊density · P⌋, for the only round; an LthError if a layer would be empty."""

        return [kept_count(layout, self.density)]


class ScoreSettings(AtInitSettings):
    """With `keep: smallest` the ranking is inverted, as a sanity check. The two masks have no weight in common.

    If scores are not finite, `overflow` is what overflows besides activations, and `overflow_remedy` what helps.
    """

    overflow: ClassVar[str] = 'their gradients'
    overflow_remedy: ClassVar[str] = 'a smaller model.initializer_gain'

    keep: Literal['largest', 'smallest'] = Field(
        'largest', description='Which scores are kept; `smallest` inverts the ranking, as a sanity check.')

    def inverted(self) -> Raw:
        return {'keep': 'smallest'}


class BatchSettings(ScoreSettings):
    """`batches` is the number of training batches on which scores are computed. BatchNorm uses the `statistics` of the
    batch, as in training; with `warm` or `initial` the network is in evaluation mode (see `with_statistics`).
    """

    batches: int = Field(1, ge=1, description='Number of training batches on which scores are computed.')
    statistics: Statistics = Field(
        'batch', description="BatchNorm's statistics while scores are computed: see docs/gems.md.")

    def check(self, training: TrainingSettings, steps_per_epoch: int) -> None:
        """Raise an LthError if an epoch has fewer batches."""

        if self.batches > steps_per_epoch:
            raise LthError(f'algorithm.batches: {self.batches} is more than the {steps_per_epoch} batches of '
                           f'{training.batch_size} in an epoch. Use fewer batches, or a smaller batch size (-b).')


def mask_at_init(mask_of: Mask) -> Callable[[Task, Any, Sequence[Round]], Iterator[Round]]:
    """A decorator: turn a function (task, settings, dense ticket) -> mask (R, P) into a generator of one round, which
    holds the masked initial weights and their accuracy. A mask that leaves a layer empty is an LthError.
    """

    @functools.wraps(mask_of)
    def find_gem(task: Task, settings: AtInitSettings, past: Sequence[Round]) -> Iterator[Round]:
        if past:
            return
        start = dense_ticket(task)
        mask = mask_of(task, settings, start)
        refuse_empty_layers(task, mask, f'Pruning at initialization by {settings.name}',
                            'Use random or smart-ratio, which keep weights in every layer')
        state = State(masks.apply_mask(mask, start.weights), start.buffers)
        state = replace(state, history=(measure(task, state),))
        yield Round(0, Ticket(mask, state.weights, start.buffers, 0), state)
    return find_gem


def score_mask(task: Task, settings: ScoreSettings, start: Ticket, score: Score, statistics: Statistics) -> Tensor:
    """The mask of the weights with the largest scores, computed for each seed with these statistics of BatchNorm:
    (R, P).
    """

    return top_mask(task, settings, scores_per_seed(task, with_statistics(task, start, statistics), score))


def top_mask(task: Task, settings: ScoreSettings, scores: Tensor) -> Tensor:
    """The mask of the weights that rank highest in the whole network: (R, P) -> (R, P)."""

    count = kept_count(task.network.layout, settings.density)
    return prune_by_score(task, settings, scores, torch.ones_like(scores, dtype=torch.bool), count)


def prune_by_score(
        task: Task, settings: ScoreSettings, scores: Tensor, mask: Tensor, count: int, *, salt: int = 0) -> Tensor:
    """The mask reduced to the `count` weights with the largest scores, or with `keep: smallest` the smallest:
    (R, P), (R, P) -> (R, P).
    """

    for seed, row in zip(task.seeds, scores):
        if not row.isfinite().all():
            raise LthError(f'{settings.name} scores of seed {seed} are not finite: activations of the untrained '
                           f'network, or {settings.overflow}, overflow. Use another model.initializer, '
                           f'data.normalization=standardize, or {settings.overflow_remedy}.')
    select = masks.keep_best if settings.keep == 'largest' else masks.keep_worst
    return select(scores, mask, count, seeds=task.seeds, salt=salt)


def scores_per_seed(task: Task, start: Ticket, score: Score) -> Tensor:
    """Scores (R, P), computed by `score` for each seed alone from a task of one seed, weights (N,) and buffers."""

    rows = []
    for row, seed in enumerate(task.seeds):
        buffers = replicate_buffers(start.buffers, row)
        rows.append(score(replace(task, seeds=(seed,)), start.weights[row], buffers))
    return torch.stack(rows)


def with_statistics(task: Task, start: Ticket, statistics: Statistics) -> Ticket:
    """The ticket with the running statistics of BatchNorm that scores are computed with. With `warm` they are averages
    over at most 10,000 training images without augmentation, of forward passes in which nothing is trained; otherwise
    they are the initial ones, mean 0 and variance 1.
    """

    if statistics != 'warm':
        return start
    state = task.engine.reestimate_batch_norm(task, State(start.weights, start.buffers))
    return replace(start, buffers=state.buffers)
