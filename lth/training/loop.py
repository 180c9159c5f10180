"""Train a state up to an iteration and measure it on the way; which engine executes the steps is the task's choice."""
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lth.errors import LthError
from lth.training.task import Measurement, Metrics, Parametrization, Segment, State, Task


def train(
        task: Task, state: State, *, until: int, trainable: Tensor, parametrization: Parametrization | None = None,
) -> State:
    """Return the state after iteration `until`. The given state is not changed.

    Weights outside `trainable` (R, N) keep their bits. With a parametrization, `state.weights` and `trainable` are the
    learned parameters and their mask: (R, L). Training, validation and test set are measured at the start, every
    `measure_every` and at the end; measuring does not change the result. Raises LthError with the seed, the iteration
    and the learning rate if a loss is not finite.
    """

    history = list(state.history)
    if not history:
        history.append(measure(task, _network_state(state, parametrization)))
    stops = _stops(task, state.step, until)
    for segment in task.engine.run(task, state, trainable=trainable, stops=stops, parametrization=parametrization):
        _refuse_divergence(task, segment)
        state, average = segment.state, _average(segment, task.training.batch_size)
        history.append(measure(task, _network_state(state, parametrization), average, segment.token))
    return replace(state, history=tuple(history))


def measure(task: Task, state: State, train_metrics: Metrics | None = None, token: object = None) -> Measurement:
    """Measure a state on the validation and test sets, and report the measurement to `task.on_step`.

    `token` is the token of the segment that holds this state (`Engine.evaluate`).
    """

    validation = task.engine.evaluate(task, state, [indices for _, indices in task.splits], token)
    test = task.engine.evaluate(task, state, None, token)
    for seed, *losses in zip(task.seeds, validation.loss, test.loss):
        if not all(math.isfinite(loss) for loss in losses):
            raise _divergence(task, seed, state.step)
    measurement = Measurement(state.step, train_metrics, validation, test)
    task.on_step(state.step, measurement)
    return measurement


def accuracy(task: Task, state: State) -> tuple[float, ...]:
    """Return the test accuracy of each replicate."""

    return task.engine.evaluate(task, state, None).accuracy


def _stops(task: Task, start: int, until: int) -> Sequence[int]:
    """Return the iterations to measure at: the multiples of `measure_every`, and the last iteration."""

    every = task.training.measure_every.steps(task.steps_per_epoch)
    multiples = range((start // every + 1) * every, until, every)
    return [*multiples, until] if until > start else []


def _network_state(state: State, parametrization: Parametrization | None) -> State:
    return replace(state, weights=parametrization.weights(state.weights, state.step)) if parametrization else state


def _average(segment: Segment, batch_size: int) -> Metrics:
    losses, correct = (values.to(torch.float64).mean(1) for values in (segment.losses, segment.correct))
    return Metrics(tuple(losses.tolist()), tuple((correct / batch_size).tolist()))


def _refuse_divergence(task: Task, segment: Segment) -> None:
    losses, steps = segment.losses, segment.losses.shape[1]
    if losses.isfinite().all() and segment.state.weights.isfinite().all():
        return
    # Number of finite losses before the first other one. If only the last step broke the weights, all are finite.
    finite = losses.isfinite().to(torch.int64).cumprod(1).sum(1).tolist()
    replicate = finite.index(min(finite))
    raise _divergence(task, task.seeds[replicate], segment.state.step - steps + finite[replicate])


def _divergence(task: Task, seed: int, step: int) -> LthError:
    rate = task.learning_rates[min(step, task.steps - 1)]
    return LthError(f'Training diverged: the loss of seed {seed} is no longer a finite number at iteration {step}, '
                    f'where the learning rate is {rate:.3g}. Lower training.optimizer.learning_rate (-l) or use a '
                    'warm-up (training.warmup).')
