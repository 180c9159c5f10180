"""The optimizers' updates of the kept weights, as torch.optim computes them. Both leave a gradient of 0."""
# numba compiles loops over indices best.
# pylint: disable=consider-using-enumerate
import math

import numpy as np

from lth.training.engines.sparse_cpu.kernels.compiler import compiled
from lth.training.engines.sparse_cpu.kernels.data import ADAMW, Parameters, Update


@compiled
def adam(parameters: Parameters, update: Update, index: int) -> None:  # pylint: disable=too-many-locals # constants
    """Adam's or AdamW's update in step `index` of the update's steps."""

    weights, gradient, first, second = parameters
    beta1, beta2, epsilon, weight_decay = update.settings
    rate, step, decoupled = update.rates[index], update.step + index, update.kind == ADAMW
    # In double precision, rounded once: single precision costs an error of 5e-4 after 50 steps.
    step_size, correction = np.float32(rate / (1 - beta1 ** step)), np.float32(math.sqrt(1 - beta2 ** step))
    keep2, add1, add2, least = np.float32(beta2), np.float32(1 - beta1), np.float32(1 - beta2), np.float32(epsilon)
    shrink = np.float32(1 - rate * weight_decay if decoupled else 1)
    decay = np.float32(0 if decoupled else weight_decay)
    for entry in range(len(weights)):
        weight = weights[entry] * shrink
        slope = gradient[entry] + decay * weight
        first[entry] += add1 * (slope - first[entry])
        second[entry] = keep2 * second[entry] + add2 * slope * slope
        weights[entry] = weight - step_size * first[entry] / (np.sqrt(second[entry]) / correction + least)
        gradient[entry] = 0


@compiled
def sgd(parameters: Parameters, update: Update, index: int) -> None:
    """SGD's update in step `index` of the update's steps."""

    weights, gradient, momentum, _ = parameters
    keep, nesterov, decay = np.float32(update.settings[0]), update.settings[1] != 0, np.float32(update.settings[2])
    step_size = np.float32(update.rates[index])
    for entry in range(len(weights)):
        slope = gradient[entry] + decay * weights[entry]
        if len(momentum):
            momentum[entry] = keep * momentum[entry] + slope
            slope = slope + keep * momentum[entry] if nesterov else momentum[entry]
        weights[entry] -= step_size * slope
        gradient[entry] = 0
