"""A session on a cluster: gives tasks to workers, saves what they send, and repeats tasks whose node was lost."""
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.executors.clusters import orders
from lth.experiments.executors.clusters.cluster import Cluster, Lost, WorkerShape
from lth.experiments.executors.clusters.node_checks import own_facts, refuse_other_version, with_node
from lth.experiments.executors.clusters.node_code import NodeFacts
from lth.experiments.executors.clusters.worker import Message, Saving, TaskEnd
from lth.experiments.executors.protocol import Ended, Event, Task
from lth.experiments.run_target import RunTarget
from lth.runs import packed_folders
from lth.runs.packed_folders import RunFacts
from lth.runs.recipe_digest import recipe_digest
from lth.system import signals, yaml_text
from lth.training.engines import select

_POLL_SECONDS = 0.1
# Workers stop within 5 s; those that save something may take longer.
_LIMIT_SECONDS = 6.
_SECONDS_TO_CLEAN = 2.
# Without a round or checkpoint in between: the task itself may be what ends nodes.
_MOST_LOSSES = 4
_SECONDS_UNTIL_NOTE = 30.
# This process holds the locks of all seeds of the tasks that it has submitted.
_MOST_TASKS = 200


@dataclass(eq=False)
class _Job:
    """A task, what its rounds must say, and how many of its workers were lost since it saved something."""

    task: Task
    shape: WorkerShape
    facts: RunFacts
    losses: int = 0


@dataclass(eq=False)
class _Worker:
    """A worker, its node once that is known, its job, and the calls that send it to the worker."""

    handle: Any
    shape: WorkerShape
    node: NodeFacts | None = None
    job: _Job | None = None
    calls: Iterator[tuple[Any, ...]] = field(default_factory=lambda: iter(()))
    is_saving: bool = False


class ClusterSession:
    """A Session whose tasks, with this target, run on the nodes of a cluster. `patience` is how many seconds it waits
    while no node of the cluster is large enough for a task.
    """

    def __init__(self, cluster: Cluster, target: RunTarget, *, patience: float) -> None:
        self._cluster = cluster
        self._shape = _shape(target)
        self._patience = patience
        self._own = own_facts()
        self._waiting: deque[_Job] = deque()
        self._workers: list[_Worker] = []
        # The worker of each call that has not returned yet.
        self._calls: dict[Any, _Worker] = {}
        # When a worker had a job the last time, and since when no node is large enough for a shape.
        self._last_busy = time.monotonic()
        self._without_node: dict[WorkerShape, float] = {}
        self._failed_starts = 0
        self._notes: set[str] = set()

    @property
    def capacity(self) -> int:
        """See Session."""

        return max(1, min(_MOST_TASKS, 2 * self._cluster.capacity(self._shape)))

    def submit(self, task: Task) -> None:
        """See Session."""

        if task.target.in_process:
            raise LthError('The model or the data are Python objects, which workers on other machines cannot import. '
                           "Name a function instead, such as 'net.py:make', or train with the executor local.")
        recipe = yaml_text.read_yaml(task.target.folder / 'recipe.yaml')
        facts = RunFacts(task.target.folder, recipe_digest(task.recipe, recipe), task.seeds)
        self._waiting.append(_Job(task, _shape(task.target), facts))

    def events(self) -> Iterator[tuple[Task, Event]]:
        """See Session."""

        self._last_busy = time.monotonic()
        while self._waiting or self._busy():
            yield from self._assign_jobs()
            if self._busy():
                self._last_busy = time.monotonic()
            yield from self._handle_completed()
            if number := signals.requested():
                yield from self._stop(number)
                signals.check()

    def close(self) -> None:
        """End all workers, after they have removed their files."""

        cleaning = [self._cluster.call(worker.handle, 'clean') for worker in self._workers if worker.node]
        end = time.monotonic() + _SECONDS_TO_CLEAN
        while cleaning and time.monotonic() < end:
            completed = self._cluster.completed(cleaning, _POLL_SECONDS)
            cleaning = [call for call in cleaning if call not in completed]
        for worker in self._workers:
            self._cluster.kill(worker.handle)
        self._workers.clear()
        self._calls.clear()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.job]

    def _assign_jobs(self) -> Iterator[tuple[Task, Event]]:
        """Give the waiting jobs to workers without one, and start workers for the others as far as there are places."""

        for worker in list(self._workers):
            job = next((job for job in self._waiting if job.shape == worker.shape), None)
            if job and worker.node and not worker.job:
                self._waiting.remove(job)
                yield from self._begin(worker, job)
        for shape in dict.fromkeys(job.shape for job in self._waiting):
            yield from self._start_workers(shape)

    def _start_workers(self, shape: WorkerShape) -> Iterator[tuple[Task, Event]]:
        """Start a worker for each waiting job of this shape for which there is a place."""

        jobs, capacity = [job for job in self._waiting if job.shape == shape], self._cluster.capacity(shape)
        starting = [worker for worker in self._workers if worker.shape == shape and not worker.job]
        alive = sum(worker.shape == shape for worker in self._workers)
        for _ in range(min(len(jobs) - len(starting), capacity - alive)):
            self._end_idle_workers(shape)
            worker = _Worker(self._cluster.start_worker(shape), shape)
            self._workers.append(worker)
            self._call(worker, 'facts')
        yield from self._report_missing_place(shape, jobs, capacity=capacity)

    def _report_missing_place(
            self, shape: WorkerShape, jobs: list[_Job], *, capacity: int) -> Iterator[tuple[Task, Event]]:
        """Say that jobs wait. End them if for a long time no node is large enough."""

        now, name = time.monotonic(), jobs[0].task.name
        if capacity:
            self._without_node.pop(shape, None)
            if now - self._last_busy > _SECONDS_UNTIL_NOTE:
                yield from self._note(jobs[0], f'Note: {name} waits for {shape} on the cluster, which is busy with '
                                               'other work.')
            return
        yield from self._note(jobs[0], f'Note: no node of the cluster has {shape}. {name} waits until one joins, for '
                                       f'at most {self._patience:.0f} seconds.')
        if now - self._without_node.setdefault(shape, now) > self._patience:
            yield from self._give_up(jobs, shape)

    def _give_up(self, jobs: list[_Job], shape: WorkerShape) -> Iterator[tuple[Task, Event]]:
        for job in jobs:
            self._waiting.remove(job)
            yield job.task, Ended(LthError(
                f'{job.task.name}: no node of the cluster has {shape}. Ask for fewer threads with --threads, train on '
                'another device with --device, or add a node. Then run the same command again.',
                exit_code=ENVIRONMENT_ERROR))

    def _end_idle_workers(self, shape: WorkerShape) -> None:
        """Free the cores and GPUs of idle workers that have another shape."""

        wanted = {shape, *(job.shape for job in self._waiting)}
        for worker in list(self._workers):
            if worker.node and not worker.job and worker.shape not in wanted:
                self._end(worker)

    def _begin(self, worker: _Worker, job: _Job) -> Iterator[tuple[Task, Event]]:
        """Send a job to a worker; LthErrors about files of the run or of its source end the job."""

        worker.job = job
        worker.calls = _sending_calls(job)
        yield from self._continue(worker)

    def _continue(self, worker: _Worker) -> Iterator[tuple[Task, Event]]:
        """The next call of a worker with a job."""

        try:
            method, *arguments = next(worker.calls, ('next_messages',))
        except LthError as error:
            yield from self._end_job(worker, error)
            return
        self._call(worker, method, *arguments)

    def _call(self, worker: _Worker, method: str, *arguments: Any) -> None:
        self._calls[self._cluster.call(worker.handle, method, *arguments)] = worker

    def _handle_completed(self) -> Iterator[tuple[Task, Event]]:
        """The events of the calls that have returned."""

        if not self._calls:
            time.sleep(_POLL_SECONDS)
            return
        for call in self._cluster.completed(list(self._calls), _POLL_SECONDS):
            worker = self._calls.pop(call, None)
            if worker is None:
                continue  # its worker was ended meanwhile
            try:
                yield from self._handle(worker, self._cluster.result(call))
            except LthError as error:
                yield from self._end_job(worker, error)

    def _handle(self, worker: _Worker, result: Any) -> Iterator[tuple[Task, Event]]:
        if isinstance(result, Lost):
            yield from self._lose(worker, result)
        elif worker.node is None:
            worker.node, self._failed_starts = NodeFacts(*result), 0
            yield from self._check_node(worker.node)
        elif worker.job:
            for message in result or ():
                yield from self._pass_on(worker, worker.job, message)
            if worker.job:
                yield from self._continue(worker)

    def _check_node(self, node: NodeFacts) -> Iterator[tuple[Task, Event]]:
        """Raise the LthError that refuses a node with another lth. Note another version of torch."""

        refuse_other_version(node, self._own)
        if node.torch != self._own.torch and self._waiting:
            yield from self._note(self._waiting[0], f'Note: {node.host} has torch {node.torch}, this machine '
                                                    f'{self._own.torch}: results can differ by rounding.')

    def _pass_on(self, worker: _Worker, job: _Job, message: Message) -> Iterator[tuple[Task, Event]]:
        """Save what a message has, then report it."""

        for folder in message.folders:
            packed_folders.save_received(job.facts, folder)
            job.losses = 0
        event = message.event
        if isinstance(event, Saving):
            worker.is_saving = True
        elif not isinstance(event, TaskEnd):
            yield job.task, event
        elif event.traceback:
            print(event.traceback, file=sys.stderr)
            yield from self._end_job(worker, RuntimeError(
                f'the worker process of {job.task.name} failed; its traceback is printed above'))
        elif event.error:
            assert worker.node
            yield from self._end_job(worker, with_node(event.error, worker.node, self._own))
        else:
            worker.job = None
            if not event.stopped:
                yield job.task, Ended()

    def _end_job(self, worker: _Worker, error: LthError | RuntimeError) -> Iterator[tuple[Task, Event]]:
        """End a job by an error, together with its worker, which may still train."""

        job, worker.job = worker.job, None
        self._end(worker)
        if job is None:  # nothing was asked of the worker yet
            raise error
        yield job.task, Ended(error)

    def _end(self, worker: _Worker) -> None:
        self._forget(worker)
        self._cluster.kill(worker.handle)

    def _forget(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._calls = {call: other for call, other in self._calls.items() if other is not worker}

    def _lose(self, worker: _Worker, lost: Lost) -> Iterator[tuple[Task, Event]]:
        """Let a job whose node was lost wait for another one; it continues from the last checkpoint. A worker that has
        ended alone is the error of its job.
        """

        self._end(worker)  # it may only be out of reach
        job = worker.job
        if job is None:
            self._count_failed_start(worker, lost)
            return
        host = worker.node.host if worker.node else 'a node'
        job.losses += 1
        if not lost.node:
            yield job.task, Ended(LthError(
                f'The worker process of {job.task.name} on {host} has ended before its rounds were complete '
                f'({lost.reason}): probably memory ran out, or the code of the model or the data ends the process. '
                'Completed rounds are saved. Run the same command again to resume.', exit_code=ENVIRONMENT_ERROR))
        elif job.losses > _MOST_LOSSES:
            yield job.task, Ended(LthError(
                f'{job.task.name}: {job.losses} nodes, the last one {host}, were lost before a round or checkpoint was '
                'saved. Completed rounds are saved. Save checkpoints more often with --checkpoint-every, and run the '
                'same command again to resume.', exit_code=ENVIRONMENT_ERROR))
        else:
            self._waiting.appendleft(job)
            yield job.task, f'Note: the node {host} was lost. {job.task.name} resumes on another one.'

    def _count_failed_start(self, worker: _Worker, lost: Lost) -> None:
        """LthError if workers end again and again before they can be given a job."""

        self._failed_starts += worker.node is None and not lost.node
        if self._failed_starts > _MOST_LOSSES:
            raise LthError(f'Worker processes on the cluster end when they start ({lost.reason}). Look into the logs '
                           'of its nodes.', exit_code=ENVIRONMENT_ERROR)

    def _note(self, job: _Job, text: str) -> Iterator[tuple[Task, Event]]:
        """A note for the user, the first time."""

        if text not in self._notes:
            self._notes.add(text)
            yield job.task, text

    def _stop(self, number: int) -> Iterator[tuple[Task, Event]]:
        """Ask all tasks to save checkpoints and to end, and save what they send before."""

        self._waiting.clear()
        start = time.monotonic()
        with signals.writing():
            for worker in self._busy():
                self._cluster.call(worker.handle, 'stop', number)
            while any(worker.is_saving or time.monotonic() - start < _LIMIT_SECONDS for worker in self._busy()):
                yield from (event for event in self._handle_completed() if not isinstance(event[1], Ended))


def _sending_calls(job: _Job) -> Iterator[tuple[Any, ...]]:
    """The calls, one after the other, that send a job to a worker."""

    for parcels in orders.parcels(job.task):
        yield 'receive', parcels
    yield 'start', orders.order(job.task, on_gpu=bool(job.shape.gpus))


def _shape(target: RunTarget) -> WorkerShape:
    """The place that a task needs: its threads, and one GPU if it trains on a GPU."""

    device = select.resolve_device(target.device).type if target.device == 'auto' else target.device
    return WorkerShape(target.threads or 1, int(device.startswith('cuda')))
