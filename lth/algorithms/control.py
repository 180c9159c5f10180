"""What a ticket is compared with: at every level of a search, another network that is just as sparse.

A control is a run of its own beside the search; its round 0 is the search's dense network, its round n stands beside
the ticket of round n. A new control is a function (task, dense, mask, number) -> ticket with its name above it; `dense`
is the rewind point, `mask` the ticket's, and the mask is applied to the weights afterwards.
"""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from lth import masks, streams
from lth.algorithms.algorithm import algorithm
from lth.recipe import AlgorithmSettings, Training
from lth.registry import Registry
from lth.task import Task
from lth.tickets import Round, Ticket, finetune, fresh
from lth.vectors import Layout

Control = Callable[[Task, Ticket, Tensor, int], Ticket]
CONTROLS: Registry[Control] = Registry('control')


@CONTROLS.register('reinit', 'reinitialize')
def reinit(task: Task, _dense: Ticket, mask: Tensor, number: int) -> Ticket:
    """The ticket's mask on weights drawn anew, trained from iteration 0."""

    drawn = fresh(replace(task, seeds=tuple(streams.number(seed, 'reinit', number) for seed in task.seeds)))
    return replace(drawn, mask=mask)


@CONTROLS.register('random-layer')
def random_layer(task: Task, dense: Ticket, mask: Tensor, number: int) -> Ticket:
    """As many weights in each layer as the ticket has, but at random, from the rewind point."""

    slots = task.network.layout.prunable_slots
    return replace(dense, mask=shuffled(mask, [slot.size for slot in slots], task, number))


@CONTROLS.register('random-global')
def random_global(task: Task, dense: Ticket, mask: Tensor, number: int) -> Ticket:
    """As many weights as the ticket has, but at random anywhere in the network, from the rewind point."""

    return replace(dense, mask=shuffled(mask, [mask.shape[1]], task, number))


def shuffled(mask: Tensor, sizes: Sequence[int], task: Task, number: int) -> Tensor:
    """The mask shuffled within parts of these sizes: (R, P) -> (R, P)."""

    rows = []
    for row, seed in zip(mask, task.seeds, strict=True):
        random = streams.generator(seed, 'random mask', len(sizes), number)
        rows.append(torch.cat([part[torch.randperm(len(part), generator=random).to(part.device)]
                               for part in row.split(list(sizes))]))
    return torch.stack(rows)


class Settings(AlgorithmSettings):
    """`source` is the folder of the search, from this run's own; `kept` counts the weights left in each round."""

    name: Literal['control']
    control: Annotated[str, AfterValidator(CONTROLS.canonical)]
    source: str
    kept: Annotated[tuple[int, ...], Field(strict=False, min_length=2)]


def _kept(_layout: Layout, settings: Settings, _training: Training, _steps_per_epoch: int) -> list[int]:
    return list(settings.kept)


def _check(_settings: Settings, _training: Training, _steps_per_epoch: int) -> None:
    """All that can be wrong is wrong with the source."""


@algorithm('control', Settings, kept=_kept, check=_check, finds='nothing new', sourced=True)
def controlled(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """A control of the tickets of another run, at every level; the past begins with the rounds of that run."""

    levels, dense, control = len(settings.kept), past[0], CONTROLS.find(settings.control)
    for number in range(len(past) - levels, levels):
        if number == 0:
            yield dense
            continue
        drawn = control(task, dense.ticket, past[number].ticket.mask, number)
        ticket = replace(drawn, weights=masks.applied(drawn.mask, drawn.weights))
        yield Round(number, ticket, finetune(task, ticket))
