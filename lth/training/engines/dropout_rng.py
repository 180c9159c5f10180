"""Random numbers that a module draws itself in training, as dropout does: the generator is seeded for every step.

A step then draws the same numbers in a resumed training as in one that was never interrupted.
"""
import contextlib
from collections.abc import Callable, Iterator

import torch

from lth import rng
from lth.training.task import Task


@contextlib.contextmanager
def seed_dropout(task: Task, rank: int = 0) -> Iterator[Callable[[int], None]]:
    """Yield a function that seeds torch's global generators for a step; restore the generators at the end. Ranks draw
    different numbers.
    """

    if not task.network.stochastic:
        yield lambda _step: None
        return
    devices = [task.engine.device] if task.engine.device.type == 'cuda' else []
    with torch.random.fork_rng(devices), rng.seeded_globals(0):
        yield lambda step: _seed(task, step, rank)


@contextlib.contextmanager
def same_noise(task: Task, replicate: int) -> Iterator[None]:
    """Let a network that draws random numbers in evaluation mode draw the same ones in each measurement of a seed."""

    if not task.network.noisy:
        yield
        return
    devices = [task.engine.device] if task.engine.device.type == 'cuda' else []
    with torch.random.fork_rng(devices), rng.seeded_globals(0):
        _seed_generators(task, rng.derive_seed(task.seeds[replicate], 'measurement'))
        yield


def _seed(task: Task, step: int, rank: int) -> None:
    _seed_generators(task, rng.derive_seed(task.seeds[0], 'noise', step, *filter(None, [rank])))


def _seed_generators(task: Task, number: int) -> None:
    if task.network.has_user_code:
        rng.seed_globals(number)
    else:
        torch.default_generator.manual_seed(number)  # torch.manual_seed visits all devices: 87 µs instead of 1
    if task.engine.device.type == 'cuda':
        torch.cuda.default_generators[task.engine.device.index].manual_seed(number)
