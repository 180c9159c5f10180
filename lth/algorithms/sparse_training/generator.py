"""Sparse training: rounds of one training in which a method moves the mask; the only place that moves one.

An event at iteration t: the size of the method says how many weights are active after it. If these are fewer, the
smallest of the whole network are deactivated; if more, all become active. Then the method replaces ⌊α_t · n⌋ of the n
active weights of each layer. Weights that become active are 0, as is their state in the optimizer. A weight that is
dropped and grown in the same event keeps its value and this state, as in the published code of RigL (Evci et al. 2020).

If weights grow by their gradient, the batch of iteration t is used for it, and the step of the optimizer is left out,
as in the code of Evci et al. 2020. An event that would replace no weight does not take place.
"""
import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lth import rng
from lth.algorithms.base import ALGORITHMS
from lth.algorithms.sparse_training import selection
from lth.algorithms.sparse_training.selection import LayerEvent
from lth.algorithms.sparse_training.settings import Settings
from lth.pruning import masks
from lth.pruning.tickets import MovingState, Round, Ticket, dense_ticket
from lth.training.loop import train_moving_mask
from lth.training.moving_masks import event_wiring
from lth.training.state import EVENT_COLUMNS, BatchGradient, Segment, State, Wiring
from lth.training.task import Task


@ALGORITHMS.register('sparse-training', settings=Settings)
def train_sparse(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Sparse training: one training in which the mask moves (static, SET, RigL, GMP, one-cycle, AC/DC, GraNet)."""

    moves, dense = Moves(task, settings), dense_ticket(task)
    ends = settings.round_ends(task.training, task.steps_per_epoch)
    last = past[-1] if past else None
    for number in range(len(past), len(ends)):
        state = start_state(task, settings, dense) if last is None else _continued(last)
        trained = train_moving_mask(task, state, until=ends[number], moves=moves)
        last = _round(number, dense, trained)
        yield last


class Moves:
    """When the mask of a training moves, and how; a `MaskMoves`."""

    def __init__(self, task: Task, settings: Settings) -> None:
        self._settings, self._row = settings, settings.row
        self._slots = task.network.layout.prunable_slots
        self._steps = settings.event_steps(task.training, task.steps_per_epoch)
        self._counts = settings.active_counts(len(self._steps), task.network.layout.prunable_count)
        self._last = settings.last_update(task.training, task.steps_per_epoch)
        # Without a change of size, an event moves nothing if no layer has enough weights for one to be replaced.
        self._most = max(settings.start_counts(task.network.layout)) if self._row.starts == 'sparse' else None

    def next_event(self, step: int) -> int | None:
        """The first iteration from `step` on at which the mask moves, None if there is none."""

        index = bisect.bisect_left(self._steps, step)
        return next((event for event in self._steps[index:] if self._moves_something(event)), None)

    def move(self, task: Task, state: State) -> Segment:
        """The state after the event at the iteration `state.step`."""

        wiring, count = state.wiring, task.network.layout.prunable_count
        assert wiring
        weights, active = state.weights[:, :count].cpu(), wiring.mask.cpu()
        sized = self._resized(task, weights, active, state.step)
        drops = [self._drop_counts(row, state.step) for row in sized]
        batch = task.engine.gradient(task, state) if self._row.takes_gradient and any(map(any, drops)) else None
        mask = self._replaced(task, weights, sized, drops, batch, state.step).to(wiring.mask.device)
        moved = _moved(state, mask)
        if batch is None:
            none = torch.zeros(len(weights), 0)
            return Segment(moved, none.to(weights), none.to(torch.int64))
        task.on_step(state.step, None)
        moved = replace(moved, step=state.step + 1, buffers=batch.buffers)
        return Segment(moved, batch.losses[:, None], batch.correct[:, None])

    def _moves_something(self, step: int) -> bool:
        return self._most is None or math.floor(self._settings.drop_share(step, self._last) * self._most) > 0

    def _resized(self, task: Task, weights: Tensor, active: Tensor, step: int) -> Tensor:
        """The masks (R, P) with as many weights as the size of the method says."""

        count, rows = self._counts[self._steps.index(step) + 1], []
        for seed, row, mask in zip(task.seeds, weights, active, strict=True):
            present = int(torch.count_nonzero(mask))
            if count > present:
                mask = torch.ones_like(mask)
            elif count < present:
                random = rng.generator(seed, 'sparse training', step)
                mask = selection.largest_of_network(row, mask, self._slots, count, random)
            rows.append(mask)
        return torch.stack(rows)

    def _drop_counts(self, mask: Tensor, step: int) -> list[int]:
        """How many weights each layer of a mask (P,) replaces."""

        share = self._settings.drop_share(step, self._last) if self._row.drop else 0.
        return [math.floor(share * int(torch.count_nonzero(mask[slot.start:slot.stop]))) for slot in self._slots]

    def _replaced(  # pylint: disable=too-many-positional-arguments # all of an event
            self, task: Task, weights: Tensor, sized: Tensor, drops: list[list[int]], batch: BatchGradient | None,
            step: int) -> Tensor:
        """The masks (R, P) after weights were dropped and grown in each layer."""

        drop, grow, result = self._row.drop, self._row.grow, sized.clone()
        gradient = batch.gradient.cpu() if batch else None
        for replicate, counts in enumerate(drops):
            for number, (slot, count) in enumerate(zip(self._slots, counts, strict=True)):
                if count and drop and grow:
                    part = slice(slot.start, slot.stop)
                    layer = LayerEvent(
                        weights[replicate, part], sized[replicate, part],
                        None if gradient is None else gradient[replicate, part],
                        rng.generator(task.seeds[replicate], 'sparse training', step, number))
                    kept = drop(layer, count)
                    result[replicate, part] = kept | grow(layer, kept, count)
        return result


def _moved(state: State, mask: Tensor) -> State:
    """The state under another mask: weights that were dropped or have grown are 0, with their optimizer state."""

    assert state.wiring
    changed, zero = (state.wiring.mask ^ mask).nonzero(as_tuple=True), state.weights.new_zeros(())
    optimizer = {name: tensor if name == 'step' else tensor.index_put(changed, zero)
                 for name, tensor in state.optimizer.items()}
    return replace(state, weights=state.weights.index_put(changed, zero), optimizer=optimizer,
                   wiring=event_wiring(state.wiring, mask, state.step))


def start_state(task: Task, settings: Settings, dense: Ticket) -> State:
    """The initial weights under the first mask."""

    sizes = [slot.size for slot in task.network.layout.prunable_slots]
    mask = masks.random_mask(sizes, settings.start_counts(task.network.layout), seeds=task.seeds).to(dense.mask.device)
    return State(masks.apply_mask(mask, dense.weights), dense.buffers, wiring=Wiring(mask, mask, _no_events(mask)))


def _continued(last: Round) -> State:
    """The state at the end of a round, with which the next one starts."""

    assert last.moving
    mask = last.ticket.mask
    return State(last.trained.weights, last.trained.buffers, last.trained.step, last.moving.optimizer,
                 wiring=Wiring(mask, last.moving.ever, _no_events(mask)))


def _round(number: int, dense: Ticket, trained: State) -> Round:
    """What is saved: the present mask with the initial weights under it, the trained weights, how the mask moved."""

    assert trained.wiring
    mask, ever, events = trained.wiring
    ticket = Ticket(mask, masks.apply_mask(mask, dense.weights), dense.buffers, 0)
    state = State(trained.weights, trained.buffers, trained.step, history=trained.history, engine=trained.engine)
    return Round(number, ticket, state, moving=MovingState(ever, events, trained.optimizer))


def _no_events(mask: Tensor) -> Tensor:
    return torch.zeros(len(mask), 0, len(EVENT_COLUMNS), dtype=torch.int64)
