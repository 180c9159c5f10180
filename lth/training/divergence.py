"""The error of a loss that is not a finite number: it names the setting that is the cause, as far as one can tell.

A factor λ that pulls weights or scores towards 0, as weight decay does, moves a weight w by rate · λ · w in a step. If
rate · λ is at least 1, steps may overshoot 0 and grow, and λ is named instead of the learning rate if it is the larger
of both. To add a cause, add it to `_causes`.
"""
from collections.abc import Iterator

import torch

from lth.errors import LthError
from lth.training.task import Task


def divergence(task: Task, seed: int, step: int) -> LthError:
    """The error of a training whose loss is not finite at an iteration."""

    rate = task.learning_rates[min(step, task.steps - 1)]
    causes = ', or '.join(_causes(task, rate))
    advice = f'{causes[0].upper()}{causes[1:]}.' if causes else (
        'Lower training.optimizer.learning_rate (-l) or use a warm-up (training.warmup).')
    return LthError(f'Training diverged: the loss of seed {seed} is no longer a finite number at iteration {step}, '
                    f'where the learning rate is {rate:.3g}. {advice}')


def untrained_overflow(seed: int) -> LthError:
    """The error of a network whose loss is not finite before it is trained."""

    return LthError(f'The loss of seed {seed} is not a finite number before anything is trained: the activations of '
                    'the network overflow. Use another model.initializer, a smaller model.initializer_gain, or '
                    'data.normalization=standardize.')


def _causes(task: Task, rate: float) -> Iterator[str]:
    """Settings besides the learning rate that must be the cause, each as advice."""

    optimizer = task.training.optimizer
    factors = {'training.optimizer.weight_decay': optimizer.weight_decay, **dict(task.penalties)}
    for name, factor in factors.items():
        if factor * rate >= 1 and factor >= rate:
            yield f'lower {name}, which is {factor:.3g}'
    epsilon = getattr(optimizer, 'epsilon', 1.)
    if not torch.tensor(epsilon, dtype=torch.float32):
        yield f'raise training.optimizer.epsilon, which is {epsilon:.3g}, 0 in single precision'
