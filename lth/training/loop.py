"""Train a state up to an iteration and measure it on the way; which engine executes the steps is the task's choice."""
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from lth.training.divergence import divergence, untrained_overflow
from lth.training.moving_masks import MaskMoves, segments_with_events
from lth.training.state import Measurement, Metrics, Pause, Segment, Snapshot, State, TrainingStart
from lth.training.task import Parametrization, Task

# The segments of a training from a state, one at each of these stops.
_Run = Callable[[State, Iterable[int]], Iterable[Segment]]


def train(
        task: Task, state: State, *, until: int, trainable: Tensor, parametrization: Parametrization | None = None,
) -> State:
    """Train up to iteration `until`: the state after it. The given state is not changed.

    Weights outside `trainable` (R, N) keep their bits. With a parametrization, `state.weights` and `trainable` are the
    learned parameters and their mask: (R, L). Training, validation and test set are measured at the start, every
    `measure_every` and at the end of each cycle; measuring does not change the result. With checkpoints, a training
    that was interrupted continues from its last one, and ends with the same bits on a CPU. Raises LthError with the
    seed, the iteration and the setting that is the cause if a loss is not finite.
    """

    def run(state: State, stops: Iterable[int]) -> Iterable[Segment]:
        return task.engine.run(task, state, trainable=trainable, stops=stops, parametrization=parametrization)

    snapshot = _first_snapshot(task, TrainingStart(state, trainable, until), parametrization)
    return _train_cycles(task, snapshot, until, run, parametrization)


def train_moving_mask(task: Task, state: State, *, until: int, moves: MaskMoves) -> State:
    """Train up to iteration `until` while the mask moves: the state after it, which has a wiring; see `train`."""

    assert state.wiring
    start = TrainingStart(state, task.network.layout.trainable_mask(state.wiring.mask), until)

    def run(state: State, stops: Iterable[int]) -> Iterable[Segment]:
        return segments_with_events(task, state, stops, moves)
    return _train_cycles(task, _first_snapshot(task, start, None), until, run, None)


def measure(task: Task, state: State, train_metrics: Metrics | None = None, token: object = None) -> Measurement:
    """Measure a state on the validation and test sets, and report the measurement to `task.on_step`.

    `token` is the token of the segment that holds this state (`Engine.evaluate`).
    """

    validation = validate(task, state, token)
    test = task.engine.evaluate(task, state, None, token)
    for seed, *losses in zip(task.run_seeds, validation.loss, test.loss):
        if not all(math.isfinite(loss) for loss in losses):
            raise divergence(task, seed, state.step) if state.history else untrained_overflow(seed)
    measurement = Measurement(state.step, train_metrics, validation, test)
    task.on_step(state.step, measurement)
    return measurement


def validate(task: Task, state: State, token: object = None) -> Metrics:
    """Loss and accuracy of each replicate on its validation images. `token` as in `measure`."""

    return task.engine.evaluate(task, state, [indices for _, indices in task.splits], token)


def accuracy(task: Task, state: State) -> tuple[float, ...]:
    """The test accuracy of each replicate."""

    return task.engine.evaluate(task, state, None).accuracy


def _train_cycles(
        task: Task, snapshot: Snapshot, until: int, run: _Run, parametrization: Parametrization | None) -> State:
    """The state at iteration `until`, after all cycles that end before it."""

    for end in [*(end for end in task.cycle_ends if snapshot.state.step <= end < until), until]:
        snapshot = _train_cycle(task, snapshot, end, run, parametrization)
    return snapshot.state


def _train_cycle(
        task: Task, snapshot: Snapshot, until: int, run: _Run, parametrization: Parametrization | None) -> Snapshot:
    """The snapshot at iteration `until`, the end of a cycle or of the training."""

    if _is_complete(task, snapshot, until):
        return snapshot
    for segment in run(_cycle_state(task, snapshot.state, until), _stops(task, snapshot, until)):
        _refuse_divergence(task, segment)
        snapshot = snapshot.after(segment)
        if task.checkpoints:
            task.checkpoints.keep(snapshot)
        if _is_measured(task, snapshot.state.step, until):
            snapshot = _measured(task, snapshot, parametrization, segment.token)
            if task.checkpoints:
                task.checkpoints.keep(snapshot)
    return snapshot


def _cycle_state(task: Task, state: State, until: int) -> State:
    """The state from which training continues: without the optimizer of the cycle before at the start of one."""

    return replace(state, optimizer={}) if state.step < until and state.step in task.cycle_ends else state


def _first_snapshot(task: Task, start: TrainingStart, parametrization: Parametrization | None) -> Snapshot:
    """Where the training continues: at the checkpoint of this start if there is one, else at the start."""

    if saved := task.checkpoints and task.checkpoints.resume(task, start):
        return saved
    state = start.state
    if state.history:
        return Snapshot.of(state)
    measurement = measure(task, _network_state(state, parametrization))
    state = replace(state, history=(measurement,))
    if task.watch and task.watch.recent is not None:
        return Snapshot.of(replace(state, recent=task.watch.recent))
    return Snapshot.of(_watched(task, state))


def _is_measured(task: Task, step: int, until: int) -> bool:
    """Whether an iteration is measured: the multiples of `measure_every`, and the last one of a cycle."""

    return step == until or step % task.training.measure_every.steps(task.steps_per_epoch) == 0


def _is_complete(task: Task, snapshot: Snapshot, until: int) -> bool:
    """Whether no step and no measurement is missing."""

    return snapshot.state.step >= until and not _lacks_measurement(task, snapshot, until)


def _lacks_measurement(task: Task, snapshot: Snapshot, until: int) -> bool:
    """Whether a training was interrupted at an iteration to measure at, after its steps."""

    return snapshot.losses.shape[1] > 0 and _is_measured(task, snapshot.state.step, until)


def _stops(task: Task, snapshot: Snapshot, until: int) -> Iterator[int]:
    """Yield the iterations to stop at: those that are measured, and those that checkpoints want in between."""

    every, step = task.training.measure_every.steps(task.steps_per_epoch), snapshot.state.step
    if _lacks_measurement(task, snapshot, until):
        yield step  # a segment without steps, for its token
    while step < until:
        stop = min((step // every + 1) * every, until)
        pause = task.checkpoints.next_stop(step) if task.checkpoints else stop
        step = Pause(pause) if pause < stop else stop
        yield step


def _measured(task: Task, snapshot: Snapshot, parametrization: Parametrization | None, token: object) -> Snapshot:
    """The snapshot with one more measurement."""

    state = snapshot.state
    average = _average(snapshot, task.training.batch_size)
    measurement = measure(task, _network_state(state, parametrization), average, token)
    return Snapshot.of(_watched(task, replace(state, history=(*state.history, measurement))))


def _watched(task: Task, state: State) -> State:
    """A state that was just measured with what the watch of the task says of it."""

    if task.watch is None:
        return state
    recent, differing = task.watch.observe(state.weights, state.recent)
    return replace(state, history=(*state.history[:-1], state.history[-1]._replace(differing=differing)), recent=recent)


def _network_state(state: State, parametrization: Parametrization | None) -> State:
    return replace(state, weights=parametrization.weights(state.weights, state.step)) if parametrization else state


def _average(snapshot: Snapshot, batch_size: int) -> Metrics:
    losses, correct = (values.to(torch.float64).mean(1) for values in (snapshot.losses, snapshot.correct))
    return Metrics(tuple(losses.tolist()), tuple((correct / batch_size).tolist()))


def _refuse_divergence(task: Task, segment: Segment) -> None:
    losses, steps = segment.losses, segment.losses.shape[1]
    if losses.isfinite().all() and segment.state.weights.isfinite().all():
        return
    # Number of finite losses before the first other one. If only the last step broke the weights, all are finite.
    finite = losses.isfinite().to(torch.int64).cumprod(1).sum(1).tolist()
    replicate = finite.index(min(finite))
    raise divergence(task, task.run_seeds[replicate], segment.state.step - steps + finite[replicate])
