"""Which worker gets which job: a new one where the cluster has a place, or one that has done its job before."""
import time
from collections import deque
from collections.abc import Iterator

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.executors.clusters.cluster import Cluster, WorkerShape
from lth.experiments.executors.clusters.remote_workers import Job, RemoteWorker, RemoteWorkers
from lth.experiments.executors.protocol import Ended, Event, Task

_SECONDS_UNTIL_NOTE = 30.


class Placement:
    """The jobs that wait for a worker. `patience` is how many seconds they do while no node of the cluster is large
    enough for them.
    """

    def __init__(self, cluster: Cluster, workers: RemoteWorkers, *, patience: float) -> None:
        self._cluster = cluster
        self._workers = workers
        self._patience = patience
        self._waiting: deque[Job] = deque()
        # When a worker had a job the last time, and since when no node is large enough for a shape.
        self._last_busy = time.monotonic()
        self._without_node: dict[WorkerShape, float] = {}

    def add(self, job: Job) -> None:
        """Let a job wait."""

        if not self._waiting:
            self._last_busy = time.monotonic()
        self._waiting.append(job)

    def add_first(self, job: Job) -> None:
        """Let a job wait that has lost its worker: the next free one gets it."""

        self._waiting.appendleft(job)

    def first(self) -> Job | None:
        """The job that waits longest, None if none does."""

        return self._waiting[0] if self._waiting else None

    def clear(self) -> None:
        """Let no job wait any more."""

        self._waiting.clear()

    def assign_jobs(self) -> Iterator[RemoteWorker]:
        """Give the waiting jobs to workers without one; those workers."""

        if self._workers.busy():
            self._last_busy = time.monotonic()
        for worker in self._workers:
            job = next((job for job in self._waiting if job.shape == worker.shape), None)
            if job and worker.node and not worker.job:
                self._waiting.remove(job)
                worker.job = job
                yield worker

    def start_workers(self) -> Iterator[tuple[Task, Event]]:
        """Start workers for the waiting jobs, as far as there are places. Notes say why others wait; a job for which no
        node is large enough ends after some time.
        """

        for shape in dict.fromkeys(job.shape for job in self._waiting):
            jobs, capacity = [job for job in self._waiting if job.shape == shape], self._cluster.capacity(shape)
            for _ in range(self._missing_workers(shape, jobs=len(jobs), capacity=capacity)):
                self._end_idle_workers(shape)
                self._workers.start(shape)
            if capacity:
                self._without_node.pop(shape, None)
                yield from self._note_busy_cluster(jobs[0])
            else:
                yield from self._wait_for_node(shape, jobs)

    def _missing_workers(self, shape: WorkerShape, *, jobs: int, capacity: int) -> int:
        """How many workers to start for so many jobs of a shape; negative if there are more than enough."""

        alive = [worker for worker in self._workers if worker.shape == shape]
        idle = sum(worker.job is None for worker in alive)
        return min(jobs - idle, capacity - len(alive))

    def _end_idle_workers(self, shape: WorkerShape) -> None:
        """Free the cores and GPUs of idle workers that have another shape."""

        wanted = {shape, *(job.shape for job in self._waiting)}
        for worker in self._workers:
            if worker.node and not worker.job and worker.shape not in wanted:
                self._workers.end(worker)

    def _note_busy_cluster(self, job: Job) -> Iterator[tuple[Task, Event]]:
        if time.monotonic() - self._last_busy > _SECONDS_UNTIL_NOTE:
            yield job.task, (f'Note: {job.task.name} waits for {job.shape} on the cluster, which is busy with other '
                             'work.')

    def _wait_for_node(self, shape: WorkerShape, jobs: list[Job]) -> Iterator[tuple[Task, Event]]:
        """Note that jobs wait for a node of this shape, and end them if they have waited for long enough."""

        name, now = jobs[0].task.name, time.monotonic()
        yield jobs[0].task, (f'Note: no node of the cluster has {shape}. {name} waits until one joins, for at most '
                             f'{self._patience:.0f} seconds.')
        if now - self._without_node.setdefault(shape, now) <= self._patience:
            return
        for job in jobs:
            self._waiting.remove(job)
            yield job.task, Ended(LthError(
                f'{job.task.name}: no node of the cluster has {shape}. Ask for fewer threads with --threads, train on '
                'another device with --device, or add a node. Then run the same command again.',
                exit_code=ENVIRONMENT_ERROR))
