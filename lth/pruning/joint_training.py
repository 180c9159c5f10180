"""Train tickets that do not depend on each other: together, where the engine trains several replicates at once.

The levels of a control, the copies of a stability analysis and those of a soup are such tickets.
"""
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from lth.pruning.tickets import Ticket, stack_tickets, train_ticket
from lth.training.state import Measurement, Metrics, State
from lth.training.task import Task


def train_tickets(
        pairs: Iterable[tuple[Task, Ticket]], *, until: int | None = None) -> Iterator[tuple[Ticket, State]]:
    """Train each ticket by its task, as `train_ticket`, and yield the tickets with the states after training, in order.

    The tasks may differ in their seeds only, and the tickets start at the same iteration. Pairs are taken when they are
    needed: one after the other, or as many as train together. `on_step` of a task receives the measurements of its own
    replicates.
    """

    remaining = iter(pairs)
    while first := next(remaining, None):
        task = first[0]
        together = max(1, task.engine.replicates(task.network, task.training) // len(task.seeds))
        group = [first, *itertools.islice(remaining, together - 1)]
        tasks, tickets = ([pair[0] for pair in group], [pair[1] for pair in group])
        state = train_ticket(_joint_task(tasks), stack_tickets(tickets), until=until)
        for ticket, rows in zip(tickets, _row_ranges(tasks), strict=True):
            yield ticket, _rows(state, rows)


def _joint_task(tasks: Sequence[Task]) -> Task:
    if len(tasks) == 1:
        return tasks[0]
    ranges = list(_row_ranges(tasks))

    def on_step(step: int, measurement: Measurement | None) -> None:
        for task, rows in zip(tasks, ranges, strict=True):
            task.on_step(step, measurement and _measurement_rows(measurement, rows))

    seeds = tuple(itertools.chain.from_iterable(task.seeds for task in tasks))
    split_seeds = tuple(itertools.chain.from_iterable(task.run_seeds for task in tasks))
    return replace(tasks[0], seeds=seeds, split_seeds=split_seeds, on_step=on_step)


def _row_ranges(tasks: Sequence[Task]) -> Iterator[slice]:
    """Yield the rows of each task's replicates along the axis R."""

    start = 0
    for task in tasks:
        yield slice(start, start + len(task.seeds))
        start += len(task.seeds)


def _rows(state: State, rows: slice) -> State:
    """The state of some replicates."""

    if rows == slice(0, len(state.weights)):
        return state

    def parts(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor if name == 'step' else tensor[rows].clone() for name, tensor in tensors.items()}

    history = tuple(_measurement_rows(measurement, rows) for measurement in state.history)
    recent = None if state.recent is None else state.recent[rows].clone()
    return replace(state, weights=state.weights[rows].clone(), recent=recent, buffers=parts(state.buffers),
                   optimizer=parts(state.optimizer), history=history)


def _measurement_rows(measurement: Measurement, rows: slice) -> Measurement:
    train = _metrics_rows(measurement.train, rows) if measurement.train else None
    return Measurement(
        measurement.iteration, train, _metrics_rows(measurement.validation, rows),
        _metrics_rows(measurement.test, rows), measurement.differing and measurement.differing[rows])


def _metrics_rows(metrics: Metrics, rows: slice) -> Metrics:
    return Metrics(metrics.loss[rows], metrics.accuracy[rows])
