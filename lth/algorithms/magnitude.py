"""Iterative magnitude pruning with rewinding (Frankle & Carbin 2019, section 2; rewinding: Frankle et al. 2019).

Train, prune the smallest weights that survive, set everything back to the rewind point, and repeat. Every round starts
with a fresh optimizer at the rewind iteration, round 0 too, so the dense network and the tickets are trained alike.
"""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import pydantic
import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from lth import masks
from lth.actions import MASK_0_ACTIONS, MASK_1_ACTIONS
from lth.algorithms.algorithm import algorithm
from lth.criteria import CRITERIA
from lth.errors import LthError
from lth.lengths import Length, Span
from lth.recipe import AlgorithmSettings, Section, Training
from lth.task import Task
from lth.tickets import Round, Ticket, finetune, fresh
from lth.vectors import Layout

Rate = Annotated[float, Field(gt=0, lt=1)]


class Rates(Section):
    """The share of survivors that goes in a round, for each kind of layer."""

    convolution: Rate
    dense: Rate
    output: Rate


class Settings(AlgorithmSettings):
    """`rounds` counts prunings: rounds 0 … N. One rate for all is a number; `global` ranks all layers together."""

    name: Literal['magnitude']
    rounds: int = Field(20, ge=0)
    rates: Rate | Rates = 0.2
    scope: Literal['layer', 'global'] = 'layer'
    criterion: Annotated[str, AfterValidator(CRITERIA.canonical)] = 'magnitude'
    mask_1_action: Annotated[str, AfterValidator(MASK_1_ACTIONS.canonical)] = 'rewind'
    mask_0_action: Annotated[str, AfterValidator(MASK_0_ACTIONS.canonical)] = 'zero'
    rewind: Length = Span(0, 'iterations')
    retrain: Literal['weight-rewinding', 'strategy-2'] = 'weight-rewinding'
    shots: Literal['iterative', 'one-shot'] = 'iterative'

    @pydantic.model_validator(mode='after')
    def _fit_together(self) -> 'Settings':
        if self.scope == 'global' and isinstance(self.rates, Rates):
            raise ValueError('global pruning ranks all layers together: give one number as rates, such as `rates: 0.2`')
        if self.shots == 'one-shot' and self.retrain == 'strategy-2':
            raise ValueError('one-shot prunes the dense network only, so no training is carried on: '
                             'leave out shots or retrain')
        return self


def ladder(layout: Layout, settings: Settings) -> list[tuple[int, ...]]:
    """The exact kept counts of rounds 0 … N: of each prunable layer, or of all as one when ranked globally."""

    slots, rate_of = layout.prunable_slots, settings.rates
    sizes = (layout.prunable,) if settings.scope == 'global' else tuple(slot.size for slot in slots)
    rates = [rate_of if isinstance(rate_of, float) else getattr(rate_of, slot.kind) for slot in slots]
    counts = [sizes]
    for _ in range(settings.rounds):
        counts.append(tuple(masks.survivors(count, rate) for count, rate in zip(counts[-1], rates)))
    return counts


def _kept(layout: Layout, settings: Settings, _training: Training, _steps_per_epoch: int) -> list[int]:
    return [sum(counts) for counts in ladder(layout, settings)]


def _check(settings: Settings, training: Training, steps_per_epoch: int) -> None:
    end, rewind = training.length.steps(steps_per_epoch), settings.rewind.steps(steps_per_epoch)
    if rewind >= end:
        raise LthError(f'algorithm.rewind: {settings.rewind} (iteration {rewind}) is not before the end of training, '
                       f'{training.length} (iteration {end}). Rewind to an earlier iteration, such as '
                       f'--set "algorithm.rewind={end // 50} iterations", or train longer.')


@algorithm('magnitude', Settings, kept=_kept, check=_check)
def find_ticket(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Iterative magnitude pruning with rewinding (Frankle & Carbin 2019)."""

    counts = ladder(task.network.layout, settings)
    dense, last = (past[0], past[-1]) if past else (None, None)
    for number in range(len(past), settings.rounds + 1):
        if dense is None or last is None:
            dense = last = _dense_round(task, settings)
        else:
            ticket = _pruned(task, settings, number, counts[number], dense, last)
            last = Round(number, ticket, finetune(task, ticket))
        yield last


def _dense_round(task: Task, settings: Settings) -> Round:
    """Round 0: the dense network trained up to the rewind point, its ticket, and on from there as every round is."""

    start, iteration = fresh(task), settings.rewind.steps(task.steps_per_epoch)
    if iteration == 0:
        return Round(0, start, finetune(task, start))
    before = finetune(task, start, until=iteration)
    ticket = Ticket(start.mask, before.weights, before.buffers, before.step)
    trained = finetune(task, ticket)
    return Round(0, ticket, replace(trained, history=(*before.history, *trained.history[1:])))


def _pruned(task: Task, settings: Settings, number: int, counts: tuple[int, ...], dense: Round, last: Round) -> Ticket:
    """The ticket of a round: the mask cut from trained weights, the weights sent back to where they start from."""

    source = dense if settings.shots == 'one-shot' else last
    mask = _cut(task, settings, number, counts, source, dense.ticket)
    carried_on = settings.retrain == 'strategy-2' and number < settings.rounds
    start = last.trained if carried_on else dense.ticket
    weights, prunable = start.weights.clone(), task.network.layout.prunable
    initial, final = dense.ticket.weights[:, :prunable], last.trained.weights[:, :prunable]
    kept = final if carried_on else MASK_1_ACTIONS.find(settings.mask_1_action)(initial, final)
    weights[:, :prunable] = torch.where(mask, kept, MASK_0_ACTIONS.find(settings.mask_0_action)(initial, final))
    return Ticket(mask, weights, start.buffers, dense.ticket.iteration)


def _cut(
        task: Task, settings: Settings, number: int, counts: tuple[int, ...], source: Round, rewind_point: Ticket,
) -> Tensor:
    """The mask with exactly these counts, best scores first."""

    layout, alive = task.network.layout, source.ticket.mask
    prunable = layout.prunable
    score = CRITERIA.find(settings.criterion)
    scores = score(rewind_point.weights[:, :prunable], source.trained.weights[:, :prunable])
    layers = [(slot.start, slot.stop) for slot in layout.prunable_slots]
    bounds = [(0, prunable)] if settings.scope == 'global' else layers
    return masks.keep_best_of_each(scores, alive, bounds, counts, seeds=task.seeds, salt=number * 10_000)
