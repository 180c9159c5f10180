"""The workers of a session: started and ended on nodes of a cluster, with the jobs that they have and their calls."""
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lth.experiments.executors.clusters.cluster import Cluster, WorkerShape
from lth.experiments.executors.clusters.node_code import NodeFacts
from lth.experiments.executors.protocol import Task
from lth.runs.packed_folders import RunFacts

_POLL_SECONDS = 0.1
_SECONDS_TO_CLEAN = 2.


@dataclass(eq=False)
class Job:
    """A task, what its rounds must say, and how many of its workers were lost since it saved something."""

    task: Task
    shape: WorkerShape
    facts: RunFacts
    losses: int = 0


@dataclass(eq=False)
class RemoteWorker:
    """A worker, its node once that is known, its job, and the calls that send it to the worker."""

    handle: Any
    shape: WorkerShape
    node: NodeFacts | None = None
    job: Job | None = None
    calls: Iterator[tuple[Any, ...]] = field(default_factory=lambda: iter(()))
    is_saving: bool = False


class RemoteWorkers:
    """The workers of a session that have not ended, in the order in which they were started."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._workers: list[RemoteWorker] = []
        # The worker of each call that has not returned yet.
        self._calls: dict[Any, RemoteWorker] = {}

    def __iter__(self) -> Iterator[RemoteWorker]:
        """The workers of this moment; they may be started and ended meanwhile."""

        return iter(list(self._workers))

    def busy(self) -> list[RemoteWorker]:
        """The workers that have a job."""

        return [worker for worker in self._workers if worker.job]

    def start(self, shape: WorkerShape) -> None:
        """Start a worker, and ask it for the facts of its node."""

        worker = RemoteWorker(self._cluster.start_worker(shape), shape)
        self._workers.append(worker)
        self.call(worker, 'facts')

    def call(self, worker: RemoteWorker, method: str, *arguments: Any) -> None:
        """Call a method of a worker, which is among those of `returned` when it has returned."""

        self._calls[self._cluster.call(worker.handle, method, *arguments)] = worker

    def returned(self) -> Iterator[tuple[RemoteWorker, Any]]:
        """The calls that have returned, after at most a moment, each with its worker. Those of workers that end
        meanwhile are left out.
        """

        if not self._calls:
            time.sleep(_POLL_SECONDS)
            return
        for call in self._cluster.completed(list(self._calls), _POLL_SECONDS):
            if worker := self._calls.pop(call, None):
                yield worker, call

    def stop(self, number: int) -> None:
        """Let all jobs save checkpoints and end, as after a signal with this number."""

        for worker in self.busy():
            self._cluster.call(worker.handle, 'stop', number)

    def end(self, worker: RemoteWorker) -> None:
        """End a worker at once."""

        self._workers.remove(worker)
        self._calls = {call: other for call, other in self._calls.items() if other is not worker}
        self._cluster.kill(worker.handle)

    def close(self) -> None:
        """End all workers, after they have removed their files."""

        cleaning = [self._cluster.call(worker.handle, 'clean') for worker in self._workers if worker.node]
        end = time.monotonic() + _SECONDS_TO_CLEAN
        while cleaning and time.monotonic() < end:
            completed = self._cluster.completed(cleaning, _POLL_SECONDS)
            cleaning = [call for call in cleaning if call not in completed]
        for worker in self:
            self.end(worker)
