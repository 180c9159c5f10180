"""Training in which the mask moves: at events, active weights are deactivated and others activated.

Between two events the mask does not change, so any engine trains the active weights as in a round of a search. A
snapshot at the iteration of an event holds the state before the event, so that a training that resumes there repeats
it.
"""
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from lth.training.state import Segment, State, Wiring
from lth.training.task import Task


class MaskMoves(Protocol):
    """When a mask moves, and how."""

    def next_event(self, step: int) -> int | None:
        """The first iteration from `step` on at which the mask moves, None if there is none."""

    def move(self, task: Task, state: State) -> Segment:
        """The state after the event at the iteration `state.step`.

        An event that takes the gradient of a batch instead of training on it ends at the next iteration, and has the
        loss of that batch; any other has no losses.
        """


def segments_with_events(task: Task, state: State, stops: Iterable[int], moves: MaskMoves) -> Iterator[Segment]:
    """Train from the state, which has a wiring, with the engine of the task. Yield a segment at each stop, and after
    each event that takes the place of an iteration.
    """

    upcoming = _Upcoming(stops, state.step)
    event = moves.next_event(state.step)
    while upcoming.peek(state.step) is not None:
        if event == state.step and not upcoming.is_at(state.step):
            segment = moves.move(task, state)
            state, event = segment.state, moves.next_event(event + 1)
            if segment.losses.shape[1]:
                yield segment
            continue
        assert state.wiring
        trainable = task.network.layout.trainable_mask(state.wiring.mask)
        for segment in task.engine.run(task, state, trainable=trainable, stops=upcoming.until(event)):
            state = replace(segment.state, wiring=state.wiring)
            yield segment._replace(state=state)


def event_wiring(wiring: Wiring, mask: Tensor, step: int) -> Wiring:
    """The wiring after an event at iteration `step` that left this mask (R, P)."""

    ever = wiring.ever | mask
    counts = (mask, wiring.mask & ~mask, mask & ~wiring.mask, ever)
    row = torch.stack([torch.full((len(mask),), step), *(count.count_nonzero(1).cpu() for count in counts)], 1)
    return Wiring(mask, ever, torch.cat([wiring.events, row[:, None]], 1))


class _Upcoming:
    """Stops of a training that is cut into spans by events. Each is taken when the segment before it was processed."""

    def __init__(self, stops: Iterable[int], start: int) -> None:
        self._stops, self._start = iter(stops), start
        self._next: int | None = None
        self._is_first = True

    def peek(self, step: int) -> int | None:
        """The next stop after iteration `step`, None if there is none. The first may be the iteration itself."""

        while self._next is None or self._is_reached(self._next, step):
            self._next = next(self._stops, None)
            if self._next is None:
                return None
        return self._next

    def _is_reached(self, stop: int, step: int) -> bool:
        """Whether the segment that ends at this stop was processed. An event alone may have led to the first one."""

        return stop <= step and not (self._is_first and step == self._start)

    def is_at(self, step: int) -> bool:
        """Whether the next stop is the iteration `step` itself."""

        return self._next == step

    def until(self, event: int | None) -> Iterator[int]:
        """The stops up to an event, which is a stop itself."""

        stop = self._next
        while stop is not None:
            self._is_first = False
            if event is not None and stop >= event:
                yield event
                return
            self._next = None
            yield stop
            self._next = stop = next(self._stops, None)
