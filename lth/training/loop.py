"""The door to the engines: train a state up to an iteration, measuring on the way."""
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lth.errors import LthError
from lth.training.engines import metrics
from lth.training.task import Measurement, Metrics, Parametrization, Segment, State, Task


def train(
        task: Task, state: State, *, until: int, trainable: Tensor, parametrization: Parametrization | None = None,
) -> State:
    """The state after iteration `until`; weights outside `trainable` (R, N) keep their value bit for bit. With a
    parametrization the state's weights and `trainable` are of what is learned instead, (R, L), such as scores.

    The given state is untouched. Train, validation and test are measured at the start and every `measure_every`;
    measuring changes nothing. A loss that is not finite is an LthError that names the seed, the step and the learning
    rate.
    """

    history = list(state.history)
    if not history:
        history.append(measure(task, _shown(state, parametrization)))
    stops = _stops(task, state.step, until)
    for advance in task.engine.run(task, state, trainable=trainable, stops=stops, parametrization=parametrization):
        _refuse_divergence(task, advance)
        state, score = advance.state, _running(advance, task.training.batch_size)
        history.append(measure(task, _shown(state, parametrization), score, advance.token))
    return replace(state, history=tuple(history))


def measure(
        task: Task, state: State, train_score: Metrics | None = None, token: object = None) -> Measurement:
    """Validation and test, measured now; told to whoever watches."""

    validation = task.engine.evaluate(task, state, [division[1] for division in task.splits], token)
    test = task.engine.evaluate(task, state, None, token)
    measurement = Measurement(state.step, train_score, validation, test)
    for seed, *losses in zip(task.seeds, validation.loss, measurement.test.loss):
        if not all(math.isfinite(loss) for loss in losses):
            raise _divergence(task, seed, state.step)
    task.on_step(state.step, measurement)
    return measurement


def accuracy(task: Task, state: State) -> tuple[float, ...]:
    """The test accuracy of each replicate, measured now."""

    return task.engine.evaluate(task, state, None).accuracy


def reestimate_batch_norm(task: Task, state: State, *, at_most: int = 10_000) -> State:
    """The state with BatchNorm's running statistics taken from its own weights, over so many training pictures."""

    return metrics.reestimate_batch_norm(task, state, [training[:at_most] for training, _ in task.splits])


def _stops(task: Task, start: int, until: int) -> Sequence[int]:
    """Where to measure: every `measure_every` counted from iteration 0, and at the end."""

    every = task.training.measure_every.steps(task.steps_per_epoch)
    return sorted({*range((start // every + 1) * every, until, every), *([until] if until > start else [])})


def _shown(state: State, parametrization: Parametrization | None) -> State:
    """The state with the weights that the network runs with."""

    return replace(state, weights=parametrization.weights(state.weights, state.step)) if parametrization else state


def _running(advance: Segment, batch_size: int) -> Metrics:
    """Means over the steps since the last stop."""

    accuracies = advance.correct.to(torch.float64).mean(1) / batch_size
    return Metrics(tuple(advance.losses.to(torch.float64).mean(1).tolist()), tuple(accuracies.tolist()))


def _refuse_divergence(task: Task, advance: Segment) -> None:
    losses, span = advance.losses, advance.losses.shape[1]
    if losses.isfinite().all() and advance.state.weights.isfinite().all():
        return
    # Weights that broke in the very last step have not shown in a loss yet: offset `span`.
    offsets = [next(iter((~row.isfinite()).nonzero().flatten().tolist()), span) for row in losses]
    replicate = min(range(len(offsets)), key=offsets.__getitem__)
    raise _divergence(task, task.seeds[replicate], advance.state.step - span + offsets[replicate])


def _divergence(task: Task, seed: int, step: int) -> LthError:
    rate = task.learning_rates[min(step, task.steps - 1)]
    return LthError(f'Training diverged: the loss of seed {seed} is no longer a finite number at iteration {step}, '
                    f'where the learning rate is {rate:.3g}. Lower training.optimizer.learning_rate (-l) or add a '
                    'warm-up (training.warmup).')
