"""Soups: copies of a ticket that train from the same weights under the same mask, and the average of their weights.

Sparse model soups (Zimmer et al., "Sparse Model Soups"): all copies share the mask, so their average has it too. The
copies differ in the order of the images and in augmentation.
"""
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lth import rng
from lth.pruning.joint_training import train_tickets
from lth.pruning.tickets import CopyAccuracies, Round, Ticket, train_ticket
from lth.training.loop import measure, validate
from lth.training.state import Measurement, Metrics, State
from lth.training.task import OnStep, Task

Soup = Literal['uniform', 'greedy']


def train_round(task: Task, ticket: Ticket, number: int, *, copies: int, soup: Soup) -> Round:
    """Round `number`: a ticket with the network that was trained from it, or with the soup of several copies."""

    if copies == 1:
        return Round(number, ticket, train_ticket(task, ticket))
    trained, accuracies = train_soup(task, ticket, number, copies=copies, soup=soup)
    return Round(number, ticket, trained, copies=accuracies)


def train_soup(
        task: Task, ticket: Ticket, number: int, *, copies: int, soup: Soup,
) -> tuple[State, tuple[CopyAccuracies, ...]]:
    """Train copies of the ticket of round `number`, and average them: the soup, with BatchNorm estimated again, and for
    each replicate the accuracies of its copies. Copy 0 trains as a single network would.

    The history is the mean over the copies, up to its last entry, which measures the soup. A watch sees copy 0.
    """

    progress = _Progress(task, ticket.iteration, copies)
    tasks = [_copy_task(task, number, copy, progress.on_step_of(copy)) for copy in range(copies)]
    states = [state for _, state in train_tickets((one, ticket) for one in tasks)]
    included = _greedy_choice(task, states) if soup == 'greedy' else torch.ones(
        len(task.seeds), copies, dtype=torch.bool)
    averaged = average(task, states, included)
    history = list(map(_mean_measurement, zip(*(state.history for state in states), strict=True)))
    history[-1] = measure(task, averaged, history[-1].train)._replace(differing=history[-1].differing)
    return replace(averaged, history=tuple(history)), _accuracies(states, included)


def average(task: Task, states: Sequence[State], included: Tensor) -> State:
    """The mean of the included states of each replicate, (R, m) bool, with BatchNorm estimated again on training
    images. Weights that all included states share keep their bits. Buffers of integers are those of the first state.
    """

    def mean(tensors: Sequence[Tensor]) -> Tensor:
        if not tensors[0].is_floating_point():
            return tensors[0]
        total = torch.zeros_like(tensors[0], dtype=torch.float64)
        for tensor, rows in zip(tensors, included.T, strict=True):
            shape = [len(rows), *[1] * (tensor.dim() - 1)]
            total += torch.where(rows.to(tensor.device).view(shape), tensor, 0)
        counts = included.sum(1).to(total).view([len(total), *[1] * (total.dim() - 1)])
        return (total / counts).to(tensors[0].dtype)

    buffers = {name: mean([state.buffers[name] for state in states]) for name in states[0].buffers}
    mixed = State(mean([state.weights for state in states]), buffers, states[0].step, engine=states[0].engine)
    return task.engine.reestimate_batch_norm(task, mixed)


def _greedy_choice(task: Task, states: Sequence[State]) -> Tensor:
    """The copies of each replicate in its greedy soup, (R, m) bool: from the best copy on the validation images on, a
    copy is added if the soup with it is at least as accurate on them.
    """

    alone = torch.tensor([state.history[-1].validation.accuracy for state in states], dtype=torch.float64).T
    order = alone.argsort(dim=1, descending=True, stable=True)
    rows, best = torch.arange(len(alone)), torch.full((len(alone),), -1., dtype=torch.float64)
    included = torch.zeros_like(alone, dtype=torch.bool)
    for place in range(alone.shape[1]):
        tried = included.clone()
        tried[rows, order[:, place]] = True
        accuracy = torch.tensor(validate(task, average(task, states, tried)).accuracy, dtype=torch.float64)
        better = accuracy >= best
        included = torch.where(better[:, None], tried, included)
        best = torch.where(better, accuracy, best)
    return included


def _copy_task(task: Task, number: int, copy: int, on_step: OnStep) -> Task:
    """The task of one copy: the same training images in another order; copy 0 has the order of the task."""

    seeds = task.seeds if copy == 0 else tuple(rng.derive_seed(seed, 'soup', number, copy) for seed in task.seeds)
    return replace(task, seeds=seeds, split_seeds=task.split_seeds or task.seeds, on_step=on_step)


def _accuracies(states: Sequence[State], included: Tensor) -> tuple[CopyAccuracies, ...]:
    ends = [state.history[-1] for state in states]
    return tuple(CopyAccuracies(tuple(end.validation.accuracy[row] for end in ends),
                                tuple(end.test.accuracy[row] for end in ends), tuple(used.tolist()))
                 for row, used in enumerate(included))


def _mean_measurement(copies: Sequence[Measurement]) -> Measurement:
    train = [copy.train for copy in copies if copy.train]
    return Measurement(
        copies[0].iteration, _mean_metrics(train) if train else None,
        _mean_metrics([copy.validation for copy in copies]), _mean_metrics([copy.test for copy in copies]),
        copies[0].differing)


def _mean_metrics(copies: Sequence[Metrics]) -> Metrics:
    loss, accuracy = (tuple(math.fsum(values) / len(values) for values in zip(*parts, strict=True))
                      for parts in zip(*copies, strict=True))
    return Metrics(loss, accuracy)


class _Progress:
    """Reports the copies as one training: its step is the mean over the copies, and its measurements are those of copy
    0, except for the last one, which is made of the soup.
    """

    def __init__(self, task: Task, start: int, copies: int) -> None:
        self._task, self._start = task, start
        self._steps = [start] * copies

    def on_step_of(self, copy: int) -> OnStep:
        """What receives the steps of a copy."""

        def on_step(step: int, measurement: Measurement | None) -> None:
            self._steps[copy] = step
            shown = measurement if copy == 0 and step < self._task.steps else None
            self._task.on_step(sum(self._steps) // len(self._steps), shown)
        return on_step
