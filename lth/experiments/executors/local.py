"""The executor `local`: processes on this machine, one thread each unless the target says otherwise."""
import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch

from lth.experiments.executors.protocol import Ended, Event, Executor, Session, Task
from lth.experiments.executors.registry import EXECUTORS
from lth.experiments.run_target import RunTarget
from lth.experiments.seed_training import Report, train_in_worker
from lth.system import pool_worker, processes, worker_pool
from lth.system.yaml_text import Raw
from lth.training.engines import select


@EXECUTORS.register('local')
class LocalExecutor(Executor):
    """Processes on this machine: one for each seed on a CPU, as many at the same time as there are cores.

    In a sweep each GPU has a process, which trains as many seeds of a run at once as fit. A run that is not part of a
    sweep needs no other process on a GPU, nor for a single seed.
    """

    remote = False

    @contextlib.contextmanager
    def open(self, target: RunTarget) -> Iterator[Session]:
        """See Executor."""

        device = select.resolve_device(target.device)
        gpus = _gpus(target, device)
        slots = len(gpus) or processes.available_slots(target.threads or 1)
        with worker_pool.WorkerPool[Task](_train_on_slot, slots) as pool:
            yield _LocalSession(pool, 2 * slots)

    def leaves_to_caller(self, target: RunTarget, device: torch.device, *, tasks: int) -> bool:
        """See Executor."""

        return tasks == 1 or device.type != 'cpu' or target.in_process


def _gpus(target: RunTarget, device: torch.device) -> list[str]:
    """The GPUs that train tasks at the same time, one each: all of the machine, or the one that the target names."""

    if device.type == 'cpu':
        return []
    named = ':' in target.device
    return [target.device] if named else [f'{device.type}:{index}' for index in range(len(select.gpu_names(device)))]


def _train_on_slot(recipe: Raw, target: RunTarget, seeds: tuple[int, ...], expected: Raw, report: Report) -> None:
    """Train a task in a worker process, on the GPU that belongs to the worker if it is one of several."""

    gpus = _gpus(target, select.resolve_device(target.device))
    if gpus:
        target = replace(target, device=gpus[pool_worker.slot()])
    train_in_worker(recipe, target, seeds, expected, report)


class _LocalSession:
    """Tasks as jobs of a pool of processes."""

    def __init__(self, pool: worker_pool.WorkerPool[Task], capacity: int) -> None:
        self._pool = pool
        self.capacity = capacity

    def submit(self, task: Task) -> None:
        """See Session."""

        self._pool.submit(task, (task.recipe, task.target, task.seeds, task.expected), task.name)

    def events(self) -> Iterator[tuple[Task, Event]]:
        """See Session."""

        for task, event in self._pool.events():
            yield task, Ended(event.error) if isinstance(event, pool_worker.JobEnd) else event
