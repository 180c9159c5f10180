"""Tickets of one data set trained on another (Morcos et al. 2019): mask and late weights go over, the output layer is
drawn anew where classes differ, and training is the target's from its start.
"""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import pydantic
import torch
from pydantic import Field
from torch import Tensor

from lth import masks
from lth.algorithms.algorithm import algorithm
from lth.algorithms.control import shuffled
from lth.errors import LthError
from lth.network import Network
from lth.recipe import AlgorithmSettings, Training
from lth.task import Task
from lth.tickets import Round, Ticket, finetune, fresh
from lth.vectors import Layout


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


def _kept(_layout: Layout, settings: Settings, _training: Training, _steps_per_epoch: int) -> list[int]:
    return list(settings.kept)


def _check(_settings: Settings, _training: Training, _steps_per_epoch: int) -> None:
    """What can be wrong is wrong with the source or the network, see `drawn_anew`."""


@algorithm('transfer', Settings, kept=_kept, check=_check, finds='nothing new', sourced=True)
def transferred(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Tickets of another run trained on these pictures (Morcos et al. 2019); the past begins with their rounds."""

    source = Network.of(task.network.settings, settings.shape, settings.classes, settings.keep_out).layout
    count = len(settings.kept)
    for number in range(len(past) - count, count):
        ticket = moved(task, source, past[number].ticket)
        if settings.ticket == 'random':
            ticket = _random(task, ticket, settings.rounds[number])
        yield Round(number, ticket, finetune(task, ticket))


def moved(task: Task, source: Layout, ticket: Ticket) -> Ticket:
    """The ticket of a source layout for the task's network, at iteration 0; an output layer drawn anew is dense."""

    target, start = task.network.layout, fresh(task)
    anew = drawn_anew(source, target)

    def joined(theirs: Tensor, ours: Tensor) -> Tensor:
        rows = [target.pack({name: ours_named[name] if name in anew else theirs_named[name] for name in ours_named})
                for theirs_named, ours_named in zip(map(source.unpack, theirs), map(target.unpack, ours), strict=True)]
        return torch.stack(rows)
    return Ticket(joined(ticket.mask, start.mask), joined(ticket.weights, start.weights), ticket.buffers, 0)


def drawn_anew(source: Layout, target: Layout) -> set[str]:
    """The tensors of the output layer if its number of classes differs; an LthError if any other tensor does."""

    theirs, ours = ({slot.name: slot.shape for slot in layout.slots} for layout in (source, target))
    output = next(slot.name for slot in target.slots if slot.kind == 'output').removesuffix('weight')
    differing = [name for name in [*ours, *theirs] if ours.get(name) != theirs.get(name)]
    for name in differing:
        inputs = (shapes.get(name, (0,))[1:] for shapes in (ours, theirs))
        if not name.startswith(output) or next(inputs) != next(inputs):
            raise LthError(f'A ticket of those pictures does not fit a network for these: {name} is of shape '
                           f'{theirs.get(name)} there, {ours.get(name)} here. Choose pictures of the same size and '
                           'channels, or bring them to it (data.size, data.channels).')
    return {name for name in ours if name.startswith(output)} if differing else set()


def _random(task: Task, ticket: Ticket, number: int) -> Ticket:
    """As many weights at random in the whole network, and all weights drawn anew."""

    start = fresh(task)
    mask = shuffled(ticket.mask, [ticket.mask.shape[1]], task, number)
    return replace(start, mask=mask, weights=masks.applied(mask, start.weights))
