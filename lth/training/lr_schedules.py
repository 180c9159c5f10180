"""The learning rate of every step, computed once as a table that all engines read.

To add a schedule, add a section in recipes/schema.py and a case in `_factors`.
"""
import itertools
import math

import numpy as np
from numpy.typing import NDArray

from lth.recipes.durations import Duration
from lth.recipes.schema import Constant, Cosine, Multistep, TrainingSettings

Rates = NDArray[np.float64]


def learning_rates(training: TrainingSettings, steps_per_epoch: int) -> Rates:
    """The learning rate of every step of a complete training, (T,) float64: the whole schedule in each cycle."""

    ends = training.cycle_ends(steps_per_epoch)
    lengths = [end - start for start, end in itertools.pairwise((0, *ends))]
    cycles = {length: _cycle_rates(cycle_training(training, steps_per_epoch, length), steps_per_epoch)
              for length in set(lengths)}
    return np.concatenate([cycles[length] for length in lengths])


def cycle_training(training: TrainingSettings, steps_per_epoch: int, length: int) -> TrainingSettings:
    """The settings of one cycle with this number of iterations: warm-up and milestones are at the same shares of
    it as in the length that the settings name.
    """

    one = training.model_copy(update={'cycles': 1, 'cycle_budget': 'each', 'cycle_lengths': 'constant'})
    whole = training.length
    if length == whole.steps(steps_per_epoch):
        return one

    def scale(span: Duration) -> Duration:
        return Duration(span.steps(steps_per_epoch) * length // whole.steps(steps_per_epoch), 'iterations')

    schedule = training.schedule
    if isinstance(schedule, Multistep):
        schedule = schedule.model_copy(update={'milestones': tuple(map(scale, schedule.milestones))})
    return one.model_copy(update={
        'length': Duration(length, 'iterations'), 'warmup': scale(training.warmup), 'schedule': schedule})


def _cycle_rates(training: TrainingSettings, steps_per_epoch: int) -> Rates:
    """The learning rate of every step of one cycle, with a linear warm-up from 0."""

    steps = np.arange(training.length.steps(steps_per_epoch))
    warmup = training.warmup.steps(steps_per_epoch)
    ramp = np.minimum(1., steps / warmup) if warmup else np.ones(len(steps))
    return training.optimizer.learning_rate * ramp * _factors(training.schedule, steps, steps_per_epoch)


def _factors(schedule: Constant | Multistep | Cosine, steps: NDArray[np.int64], steps_per_epoch: int) -> Rates:
    match schedule:
        case Constant():
            return np.ones(len(steps))
        case Multistep():
            passed = np.sum([steps >= milestone.steps(steps_per_epoch) for milestone in schedule.milestones], axis=0)
            return np.asarray(schedule.factor ** np.broadcast_to(passed, len(steps)), dtype=np.float64)
        case Cosine():
            unit = steps_per_epoch if schedule.per == 'epoch' else 1
            return np.asarray((1 + np.cos(math.pi * (steps // unit) / (len(steps) / unit))) / 2, dtype=np.float64)
