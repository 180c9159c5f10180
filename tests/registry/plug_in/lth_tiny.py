"""An example of a plug-in: a package that adds one entry of each kind."""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

import lth
from lth.algorithms.at_init.base import ScoreSettings, mask_at_init, top_mask
from lth.algorithms.trained_masks.base import MaskSearch, PeriodicSettings, RoundStart
from lth.algorithms.trained_masks.parametrizations import Rounded
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.datasets import Dataset, Source, Split
from lth.models.flat_parameters import Layout, Slot
from lth.pruning.controls import Draw
from lth.pruning.criteria import CriterionContext
from lth.pruning.mask_actions import LayerSurvivors
from lth.pruning.tickets import Round, Ticket, dense_ticket, train_ticket
from lth.recipes.schema import AlgorithmSettings, DataSettings, TrainingSettings
from lth.training.task import Task


@lth.MODELS.register('tiny-linear')
def linear(shape: tuple[int, int, int], classes: int, *, bias: bool = True) -> nn.Module:
    """One dense layer."""

    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes, bias))


@lth.INITIALIZERS.register('tiny-uniform')
def uniform(slot: Slot, random: torch.Generator) -> Tensor:
    """Uniform between -1 and 1."""

    return torch.empty(slot.shape).uniform_(-1, 1, generator=random)


def _read(_folder: Path, _settings: DataSettings) -> Dataset:
    labels = torch.arange(120) % 3
    split = Split((80 * labels.view(-1, 1, 1, 1) + torch.arange(16).view(1, 1, 4, 4)).to(torch.uint8), labels)
    return Dataset(split, split, (0.3,), (0.3,))


lth.DATASETS.register('tiny-greys')(Source(
    summary='three shades of gray', shape=(1, 4, 4), classes=3, image_counts=(120, 120), read=_read,
    settings={'validation': 20}))


@lth.CRITERIA.register('tiny-last')
def last(_initial: Tensor, final: Tensor, _context: CriterionContext) -> Tensor:
    """The last weights of the layer."""

    return torch.arange(len(final), dtype=final.dtype, device=final.device)


@lth.MASK_ACTIONS.register('tiny-double', mask=1)
def double(layer: LayerSurvivors) -> Tensor:
    """Twice the values of the rewind point."""

    return 2 * layer.start


@lth.MASK_ACTIONS.register('tiny-nothing', mask=0)
def nothing(layer: LayerSurvivors, weights: Tensor) -> Tensor:
    """Frozen at 0."""

    return torch.where(layer.kept, weights, 0.)


@lth.CONTROLS.register('tiny-flip', claims=['mask kept', 'weights differ'], within_mask=True)
def flip(_task: Task, _origin: Ticket, ticket: Ticket, _draw: Draw) -> Ticket:
    """The same mask; kept weights with inverted signs."""

    weights = ticket.weights.clone()
    weights[:, :ticket.mask.shape[1]][ticket.mask] *= -1
    return replace(ticket, weights=weights)


class DenseSettings(AlgorithmSettings):
    """There are no settings."""

    name: Literal['tiny-dense']

    def kept_counts(self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return [layout.prunable_count]


@lth.ALGORITHMS.register('tiny-dense', settings=DenseSettings)
def dense(task: Task, _settings: DenseSettings, past: Sequence[Round]) -> Iterator[Round]:
    """Only the dense network."""

    if not past:
        start = dense_ticket(task)
        yield Round(0, start, train_ticket(task, start))


class AtInitSettings(ScoreSettings):
    """Uses the images, so that checks with other data apply to it."""

    name: Literal['tiny-at-init']


@lth.ALGORITHMS.register('tiny-at-init', settings=AtInitSettings)
@mask_at_init
def at_init(task: Task, settings: AtInitSettings, start: Ticket) -> Tensor:
    """Keep large weights of bright pixels."""

    count = task.network.layout.prunable_count
    pixels = task.data.train.images.float().mean(0).flatten().repeat(count // 16)
    return top_mask(task, settings, start.weights[:, :count].abs() * pixels)


class TrainedSettings(PeriodicSettings):
    """`initial` is the score of every weight before training."""

    event: ClassVar[str] = 'saved state'

    name: Literal['tiny-scores']
    initial: float = 0.6


class _Search(MaskSearch[TrainedSettings]):

    def initial_scores(self, _random: torch.Generator) -> Tensor:
        return torch.full((self.task.network.layout.prunable_count,), self.settings.initial)

    def parametrization(self, start: RoundStart) -> Rounded:
        return Rounded(start.weights, Penalty(0.))


@lth.ALGORITHMS.register('tiny-scores', settings=TrainedSettings)
def train_scores(task: Task, settings: TrainedSettings, past: Sequence[Round]) -> Iterator[Round]:
    """Train rounded scores; keep the weights with the largest."""

    yield from _Search(task, settings).rounds(past)
