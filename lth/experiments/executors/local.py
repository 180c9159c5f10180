"""The executor `local`: processes on this machine, one thread each unless the target says otherwise."""
import contextlib
from collections.abc import Iterator

import torch

from lth.experiments.executors.protocol import Ended, Event, Executor, Session, Task
from lth.experiments.executors.registry import EXECUTORS
from lth.experiments.run_target import RunTarget
from lth.experiments.seed_training import train_in_worker
from lth.system import processes, worker_pool


@EXECUTORS.register('local')
class LocalExecutor(Executor):
    """Processes on this machine: one for each seed on a CPU, as many at the same time as there are cores.

    A GPU, and a CPU that trains one seed, need no other process.
    """

    remote = False

    @contextlib.contextmanager
    def open(self, target: RunTarget) -> Iterator[Session]:
        """See Executor."""

        slots = processes.available_slots(target.threads or 1)
        with worker_pool.WorkerPool[Task](train_in_worker, slots) as pool:
            yield _LocalSession(pool, 2 * slots)

    def leaves_to_caller(self, target: RunTarget, device: torch.device, *, tasks: int) -> bool:
        """See Executor."""

        return tasks == 1 or device.type != 'cpu' or target.in_process


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
            yield task, Ended(event.error) if isinstance(event, worker_pool.JobEnd) else event
