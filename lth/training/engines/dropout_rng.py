"""Random numbers that a module draws by itself in training, as dropout does: seeded anew for every step.

So a step sees the same noise however training came to it, resumed or not, whatever else draws meanwhile.
"""
import contextlib
from collections.abc import Callable, Iterator

import torch

from lth import rng
from lth.training.task import Task


@contextlib.contextmanager
def seed_dropout(task: Task) -> Iterator[Callable[[int], None]]:
    """What seeds the noise of a step, within a block; afterwards the global generators are as they were."""

    if not task.network.stochastic:
        yield lambda _step: None
        return
    devices = [task.engine.device] if task.engine.device.type == 'cuda' else []
    with torch.random.fork_rng(devices):
        yield lambda step: _seed(task, step)


def _seed(task: Task, step: int) -> None:
    # torch.manual_seed looks at every device: 87 µs instead of 1.
    number = rng.derive_seed(task.seeds[0], 'noise', step)
    torch.default_generator.manual_seed(number)
    if task.engine.device.type == 'cuda':
        torch.cuda.default_generators[task.engine.device.index or 0].manual_seed(number)
