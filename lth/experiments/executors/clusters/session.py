"""A session on a cluster: passes on what the workers of its tasks report, and repeats tasks whose node was lost."""
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.executors.clusters import orders
from lth.experiments.executors.clusters.cluster import Cluster, Lost, WorkerShape
from lth.experiments.executors.clusters.node_checks import own_facts, refuse_other_version, with_node
from lth.experiments.executors.clusters.node_code import NodeFacts
from lth.experiments.executors.clusters.placement import Placement
from lth.experiments.executors.clusters.remote_workers import Job, RemoteWorker, RemoteWorkers
from lth.experiments.executors.clusters.worker import Message, Saving, TaskEnd
from lth.experiments.executors.protocol import Ended, Event, Task
from lth.experiments.run_target import RunTarget
from lth.runs import packed_folders
from lth.runs.packed_folders import RunFacts
from lth.runs.recipe_digest import recipe_digest
from lth.system import signals, yaml_text
from lth.training.engines import select

# What workers send when they have stopped is still on its way then. Those that save something may take longer.
_LIMIT_SECONDS = signals.LIMIT_SECONDS + 1
# Without a round or checkpoint in between: the task itself may be what ends nodes.
_MOST_LOSSES = 4
# This process holds the locks of all seeds of the tasks that it has submitted.
_MOST_TASKS = 200


class ClusterSession:
    """A Session whose tasks, with this target, run on the nodes of a cluster. `patience` is how many seconds it waits
    while no node of the cluster is large enough for a task.
    """

    def __init__(self, cluster: Cluster, target: RunTarget, *, patience: float) -> None:
        self._cluster = cluster
        self._shape = _shape(target)
        self._own = own_facts()
        self._workers = RemoteWorkers(cluster)
        self._placement = Placement(cluster, self._workers, patience=patience)
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
        self._placement.add(Job(task, _shape(task.target), facts))

    def events(self) -> Iterator[tuple[Task, Event]]:
        """See Session."""

        while self._placement.first() or self._workers.busy():
            for worker in self._placement.assign_jobs():
                assert worker.job
                worker.calls = _sending_calls(worker.job)
                yield from self._continue(worker)
            yield from self._new_notes(self._placement.start_workers())
            yield from self._handle_returned()
            if number := signals.requested():
                yield from self._stop(number)
                signals.check()

    def close(self) -> None:
        """End all workers, after they have removed their files."""

        self._workers.close()

    def _new_notes(self, events: Iterable[tuple[Task, Event]]) -> Iterator[tuple[Task, Event]]:
        """The events without the notes that the user has seen."""

        for task, event in events:
            if event not in self._notes:
                yield task, event
            if isinstance(event, str):
                self._notes.add(event)

    def _continue(self, worker: RemoteWorker) -> Iterator[tuple[Task, Event]]:
        """The next call of a worker with a job. LthErrors about files of the run or of its source end the job."""

        try:
            method, *arguments = next(worker.calls, ('next_messages',))
        except LthError as error:
            yield from self._end_job(worker, error)
            return
        self._workers.call(worker, method, *arguments)

    def _handle_returned(self) -> Iterator[tuple[Task, Event]]:
        """The events of the calls that have returned."""

        for worker, call in self._workers.returned():
            try:
                yield from self._handle(worker, self._cluster.result(call))
            except LthError as error:
                yield from self._end_job(worker, error)

    def _handle(self, worker: RemoteWorker, result: Any) -> Iterator[tuple[Task, Event]]:
        if isinstance(result, Lost):
            yield from self._lose(worker, result)
        elif worker.node is None:
            worker.node, self._failed_starts = NodeFacts(*result), 0
            yield from self._new_notes(self._check_node(worker.node))
        elif worker.job:
            for message in result or ():
                yield from self._pass_on(worker, worker.job, message)
            if worker.job:
                yield from self._continue(worker)

    def _check_node(self, node: NodeFacts) -> Iterator[tuple[Task, Event]]:
        """Raise the LthError that refuses a node with another lth. Note another version of torch."""

        refuse_other_version(node, self._own)
        job = self._placement.first()
        if job and node.torch != self._own.torch:
            yield job.task, (f'Note: {node.host} has torch {node.torch}, this machine {self._own.torch}: results can '
                             'differ by rounding.')

    def _pass_on(self, worker: RemoteWorker, job: Job, message: Message) -> Iterator[tuple[Task, Event]]:
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

    def _end_job(self, worker: RemoteWorker, error: LthError | RuntimeError) -> Iterator[tuple[Task, Event]]:
        """End a job by an error, together with its worker, which may still train."""

        job, worker.job = worker.job, None
        self._workers.end(worker)
        if job is None:  # nothing was asked of the worker yet
            raise error
        yield job.task, Ended(error)

    def _lose(self, worker: RemoteWorker, lost: Lost) -> Iterator[tuple[Task, Event]]:
        """Let a job whose node was lost wait for another one; it continues from the last checkpoint. A worker that has
        ended alone is the error of its job.
        """

        self._workers.end(worker)  # it may only be out of reach
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
            self._placement.add_first(job)
            yield job.task, f'Note: the node {host} was lost. {job.task.name} resumes on another one.'

    def _count_failed_start(self, worker: RemoteWorker, lost: Lost) -> None:
        """LthError if workers end again and again before they can be given a job."""

        self._failed_starts += worker.node is None and not lost.node
        if self._failed_starts > _MOST_LOSSES:
            raise LthError(f'Worker processes on the cluster end when they start ({lost.reason}). Look into the logs '
                           'of its nodes.', exit_code=ENVIRONMENT_ERROR)

    def _stop(self, number: int) -> Iterator[tuple[Task, Event]]:
        """Ask all tasks to save checkpoints and to end, and save what they send before."""

        self._placement.clear()
        start = time.monotonic()
        with signals.writing():
            self._workers.stop(number)
            while any(worker.is_saving or time.monotonic() - start < _LIMIT_SECONDS for worker in self._workers.busy()):
                yield from (event for event in self._handle_returned() if not isinstance(event[1], Ended))


def _sending_calls(job: Job) -> Iterator[tuple[Any, ...]]:
    """The calls, one after the other, that send a job to a worker."""

    for parcels in orders.parcels(job.task):
        yield 'receive', parcels
    yield 'start', orders.order(job.task, on_gpu=bool(job.shape.gpus))


def _shape(target: RunTarget) -> WorkerShape:
    """The place that a task needs: its threads, and one GPU if it trains on a GPU."""

    device = select.resolve_device(target.device).type if target.device == 'auto' else target.device
    return WorkerShape(target.threads or 1, int(device.startswith('cuda')))
