"""The learning rate of every step, computed once as a table that all engines read.

To add a schedule, add a section in recipes/schema.py and a case in `_factors`.
"""
import math

import numpy as np
from numpy.typing import NDArray

from lth.recipes.schema import Constant, Cosine, Multistep, TrainingSettings

Rates = NDArray[np.float64]


def learning_rates(training: TrainingSettings, steps_per_epoch: int) -> Rates:
    """Return the learning rate of every step of a complete training, (T,) float64, with a linear warm-up from 0."""

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
