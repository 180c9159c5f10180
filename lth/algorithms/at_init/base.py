"""Pruning at initialization: settings, scoring and mask selection that the algorithms share.

Each algorithm makes one round, in which exactly ⌊density · P⌋ weights are kept at their initial values. The recipe's
`training` says how they are trained later; its first batches are also the batches on which scores are computed. To add
an algorithm, write a function (task, settings, start) -> mask (R, P) with `@ALGORITHMS.register(name,
settings=Settings)` and `@mask_at_init` above it.
"""
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers
from lth.pruning import masks
from lth.pruning.layer_collapse import kept_count, refuse_empty_layers
from lth.pruning.tickets import Round, Ticket, dense_ticket
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.system.yaml_text import Raw
from lth.training.engines.batches import Batches
from lth.training.engines.dropout_rng import seed_dropout
from lth.training.loop import measure
from lth.training.task import State, Task

Statistics = Literal['batch', 'warm', 'initial']
Score = Callable[[Task, Tensor, Buffers], Tensor]
Mask = Callable[[Task, Any, Ticket], Tensor]


class BatchLoss(Protocol):
    """The loss of the training batch of this number, with the same images and the same dropout at each call. Tensors in
    `replaced` are used instead of the parameters of these names.
    """

    def __call__(self, number: int, replaced: Mapping[str, Tensor] | None = None) -> Tensor: ...


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
    """With `keep: smallest` the ranking is inverted, as a sanity check. The two masks have no weight in common."""

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
                           'network, or steps that the algorithm makes with it, overflow. Use another '
                           'model.initializer, data.normalization=standardize, or smaller settings of the algorithm.')
    select = masks.keep_best if settings.keep == 'largest' else masks.keep_worst
    return select(scores, mask, count, seeds=task.seeds, salt=salt)


def random_mask(task: Task, counts: Sequence[int]) -> Tensor:
    """A random mask that keeps `counts[i]` weights of layer i: (R, P)."""

    sizes = [slot.size for slot in task.network.layout.prunable_slots]
    return masks.random_mask(sizes, counts, seeds=task.seeds).to(task.engine.device)


def scores_per_seed(task: Task, start: Ticket, score: Score) -> Tensor:
    """Scores (R, P), computed by `score` for each seed alone from a task of one seed, weights (N,) and buffers."""

    rows = []
    for row, seed in enumerate(task.seeds):
        buffers = {name: buffer[row] for name, buffer in start.buffers.items()}
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


def batch_losses(
        task: Task, weights: Tensor, buffers: Buffers, *, batches: int, temperature: float = 1.,
        statistics: Statistics = 'batch') -> tuple[Sequence[Tensor], BatchLoss]:
    """The prunable parameters of one network, as leaves of the graph, and the loss of its first training batches.
    `weights` and `buffers` are not changed. The network is in training mode, unless BatchNorm uses running statistics.
    """

    module = bind_contiguous(task, weights, buffers)
    module.train(statistics == 'batch')
    epoch = Batches(task, weights.dtype)
    epoch.start_epoch(0)
    inputs = [epoch.batch(columns) for columns in epoch.columns[:batches]]

    def loss(number: int, replaced: Mapping[str, Tensor] | None = None) -> Tensor:
        images, labels = inputs[number]
        with seed_dropout(task) as begin_noise:
            begin_noise(number)
            images = images[0].contiguous()
            logits = module(images) if replaced is None else functional_call(module, dict(replaced), (images,))
            return F.cross_entropy(logits / temperature, labels[0])
    return prunable_parameters(task.network.layout, module), loss


def bind_contiguous(task: Task, weights: Tensor, buffers: Buffers) -> nn.Module:
    """A module in training mode with copies of weights (N,) and buffers. All is contiguous in memory: BatchNorm of
    other formats is less exact, and masks at 2% density of ResNet-20 then differ from those of double precision in 55
    places instead of 14.
    """

    layout = task.network.layout.contiguous()
    return replace(task.network, layout=layout).bind(
        layout.pack(task.network.layout.unpack(weights)), {name: buffer.clone() for name, buffer in buffers.items()})


def prunable_parameters(layout: Layout, module: nn.Module) -> Sequence[Tensor]:
    """The prunable parameters of a module, in the order of the layout."""

    parameters = dict(module.named_parameters())
    return [parameters[slot.name] for slot in layout.prunable_slots]


def mean_gradient(layout: Layout, parameters: Sequence[Tensor], loss: BatchLoss, *, batches: int) -> Tensor:
    """The gradient of the mean loss of the first batches with respect to the prunable weights: (P,)."""

    gradients = [pack_prunable(layout, torch.autograd.grad(loss(number), parameters, materialize_grads=True))
                 for number in range(batches)]
    return torch.stack(gradients).mean(0)


def pack_prunable(layout: Layout, tensors: Sequence[Tensor]) -> Tensor:
    """One vector (P,) from one tensor for each prunable parameter."""

    return layout.pack({slot.name: tensor for slot, tensor in zip(layout.prunable_slots, tensors, strict=True)})
