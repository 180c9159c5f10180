"""An example of a plug-in: a package that adds a model, a data set, a criterion, a control and an algorithm."""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from lth.algorithms.base import ALGORITHMS
from lth.datasets import DATASETS, Dataset, Source, Split
from lth.models.flat_parameters import Layout
from lth.models.registry import MODELS
from lth.pruning.controls import CONTROLS, Draw
from lth.pruning.criteria import CRITERIA, CriterionContext
from lth.pruning.tickets import Round, Ticket, dense_ticket, train_ticket
from lth.recipes.schema import AlgorithmSettings, DataSettings, TrainingSettings
from lth.training.task import Task


@MODELS.register('tiny-linear')
def linear(shape: tuple[int, int, int], classes: int, *, bias: bool = True) -> nn.Module:
    """One dense layer."""

    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes, bias))


def _read(_folder: Path, _settings: DataSettings) -> Dataset:
    labels = torch.arange(120) % 3
    split = Split((80 * labels.view(-1, 1, 1, 1) + torch.arange(16).view(1, 1, 4, 4)).to(torch.uint8), labels)
    return Dataset(split, split, (0.3,), (0.3,))


DATASETS.register('tiny-greys')(Source(
    summary='three shades of gray', shape=(1, 4, 4), classes=3, image_counts=(120, 120), read=_read,
    settings={'validation': 20}))


@CRITERIA.register('tiny-last')
def last(_initial: Tensor, final: Tensor, _choice: CriterionContext) -> Tensor:
    """The position in the layer: later weights have higher scores."""

    return torch.arange(len(final), dtype=final.dtype, device=final.device)


@CONTROLS.register('tiny-flip', claims=['mask kept', 'weights differ'])
def flipped(_task: Task, _origin: Ticket, ticket: Ticket, _draw: Draw) -> Ticket:
    """The same mask with the opposite sign of each weight."""

    return replace(ticket, weights=-ticket.weights)


class Settings(AlgorithmSettings):
    """There are no settings."""

    name: Literal['tiny-dense']

    def kept_counts(self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return [layout.prunable_count]


@ALGORITHMS.register('tiny-dense', settings=Settings)
def dense(task: Task, _settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Only the dense network."""

    if not past:
        start = dense_ticket(task)
        yield Round(0, start, train_ticket(task, start))
