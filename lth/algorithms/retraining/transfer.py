"""Tickets of one data set trained on another (Morcos et al. 2019): mask and late weights go over, but for the output
layer where classes differ (`transplant.py`), and training is the target's from its start.
"""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import pydantic
import torch
from pydantic import Field
from torch import Tensor

from lth import rng
from lth.algorithms.base import algorithm
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.pruning.output_layer import transplant
from lth.pruning.tickets import Round, Ticket, dense_ticket, mask_ticket, train_ticket
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.task import Task


class Settings(AlgorithmSettings):
    """`source` is the run folder, from this run's own, `rounds` those of its rounds whose tickets are trained here
    as rounds 0, 1 …, and `kept` counts the weights that they keep here. `shape` and `classes` are the source's.
    `random` tickets have the mask shuffled over the whole network and weights drawn anew.
    """

    name: Literal['transfer']
    source: str
    rounds: Annotated[tuple[int, ...], Field(strict=False, min_length=1)]
    kept: Annotated[tuple[int, ...], Field(strict=False, min_length=1)]
    shape: Annotated[tuple[int, int, int], Field(strict=False)]
    classes: int = Field(ge=1)
    ticket: Literal['found', 'random'] = 'found'

    @pydantic.model_validator(mode='after')
    def _one_count_for_each(self) -> 'Settings':
        if len(self.rounds) != len(self.kept):
            raise ValueError('rounds and kept are of the same tickets: give as many of both; they are '
                             f'{len(self.rounds)} and {len(self.kept)}')
        return self


def _kept(_layout: Layout, settings: Settings, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
    return list(settings.kept)


def _check(_settings: Settings, _training: TrainingSettings, _steps_per_epoch: int) -> None:
    """What can be wrong is wrong with the source or the network, see `transplant.redrawn`."""


@algorithm('transfer', Settings, kept=_kept, check=_check, finds='nothing new', needs_source=True)
def transferred(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Tickets of another run trained on these pictures (Morcos et al. 2019); the past begins with their rounds."""

    source = Network.of(task.network.settings, settings.shape, settings.classes, settings.keep_out)
    start, count = dense_ticket(task), len(settings.kept)
    anew = _anew(task) if settings.ticket == 'random' else start
    for number in range(len(past) - count, count):
        ticket = transplant(past[number].ticket, source, task.network, start)
        if settings.ticket == 'random':
            ticket = mask_ticket(anew, _shuffled(ticket.mask, task.seeds, settings.rounds[number]))
        ticket = replace(ticket, iteration=0)
        yield Round(number, ticket, train_ticket(task, ticket))


def _anew(task: Task) -> Ticket:
    """The network drawn by other seeds: a ticket that was rewound to iteration 0 has the weights of the seed itself."""

    return dense_ticket(replace(task, seeds=tuple(rng.derive_seed(seed, 'random ticket') for seed in task.seeds)))


def _shuffled(mask: Tensor, seeds: Sequence[int], number: int) -> Tensor:
    """As many weights at random in the whole network: (R, P) -> (R, P)."""

    return torch.stack([rng.shuffle(row, rng.generator(seed, 'random mask', 1, number))
                        for row, seed in zip(mask, seeds, strict=True)])
