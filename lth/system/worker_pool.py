"""Processes that do one job after another, and report what the jobs send and how they end.

A process is started when a job waits for it, at most `slots` of them, and used again for further jobs: importing torch
takes longer than a small job.
"""
import contextlib
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe, connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.system import pool_worker, processes, signals
from lth.system.pool_worker import JobEnd, Phase, SentJob

_POLL_SECONDS = 0.1
# Workers end by themselves at the limit of signals. One that does not answer for longer is killed.
_LIMIT_SECONDS = signals.LIMIT_SECONDS + 1
K = TypeVar('K', bound=Hashable)


@dataclass
class _Job(Generic[K]):
    """What a worker does, with its key among the events."""

    key: K
    sent: SentJob


@dataclass
class _Worker(Generic[K]):
    """A process, the pipes by which it gets jobs and is asked to end, the number of its slot, and its job; None while
    it waits for one.
    """

    process: SpawnProcess
    jobs: connection.Connection
    requests: connection.Connection
    slot: int
    job: _Job[K] | None = None
    phase: Phase = field(default=Phase.STARTING)

    def early_end(self) -> JobEnd:
        """The end of its job, where the process has ended without reporting it."""

        self.process.join()
        name = self.job.sent.name if self.job else 'no job'
        return JobEnd(_early_end(name, self.process.exitcode or 0))


class WorkerPool(Generic[K]):
    """Runs work(*job, send) for each submitted job, at most `slots` at the same time, each in a process of its own. A
    context manager, which ends all processes.
    """

    def __init__(self, work: Callable[..., None], slots: int) -> None:
        self._work = work
        self._slots = slots
        self._waiting: deque[_Job[K]] = deque()
        # By the pipes that they send to.
        self._workers: dict[connection.Connection, _Worker[K]] = {}
        self._deferral = contextlib.ExitStack()

    def submit(self, key: K, job: tuple[Any, ...], name: str) -> None:
        """Let a process do the job as soon as one is free. Its events have the key."""

        self._waiting.append(_Job(key, SentJob(name, job)))

    def events(self) -> Iterator[tuple[K, Any]]:
        """What the jobs send, and a JobEnd for each, with their keys, until all submitted jobs have ended. Jobs may be
        submitted meanwhile. A signal ends all processes, as soon as they have saved checkpoints, and raises
        Interrupted.
        """

        while self._waiting or self._busy():
            self._start_jobs()
            for pipe in self._ready():
                yield from self._receive(pipe)
            if number := signals.requested():
                yield from self._stop(number)
                signals.check()

    def __enter__(self) -> Self:
        self._deferral.enter_context(signals.deferred())
        return self

    def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        running = [worker.process for worker in self._workers.values()]
        for process in running:
            process.kill()
        for process in running:
            process.join()
        self._workers.clear()
        self._deferral.__exit__(kind, error, trace)

    def _busy(self) -> list[_Worker[K]]:
        return [worker for worker in self._workers.values() if worker.job]

    def _start_jobs(self) -> None:
        """Give the waiting jobs to workers without one, and to new ones."""

        idle = deque(worker for worker in self._workers.values() if not worker.job)
        while self._waiting and (idle or len(self._workers) < self._slots):
            worker = idle.popleft() if idle else self._start_worker()
            worker.job = self._waiting.popleft()
            with contextlib.suppress(OSError):  # it was killed while it was idle: _receive notices
                worker.jobs.send(worker.job.sent)

    def _start_worker(self) -> _Worker[K]:
        receiver, sender = Pipe(duplex=False)
        obeyed, requests = Pipe(duplex=False)
        taken, jobs = Pipe(duplex=False)
        free = min(set(range(self._slots)) - {worker.slot for worker in self._workers.values()})
        process = processes.start_process(pool_worker.serve, self._work, free, taken, sender, obeyed)
        worker = self._workers[receiver] = _Worker[K](process, jobs, requests, free)
        for end in (sender, obeyed, taken):
            end.close()
        return worker

    def _ready(self) -> list[connection.Connection]:
        """The pipes of workers that sent something or have ended, after at most a moment."""

        ready = connection.wait(list(self._workers), _POLL_SECONDS)
        return [pipe for pipe in self._workers if pipe in ready]

    def _receive(self, pipe: connection.Connection) -> Iterator[tuple[K, Any]]:
        """The event of one message of a worker. A worker that ends is removed; one whose job is done is free."""

        worker = self._workers[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            message = worker.early_end()
        if isinstance(message, Phase):
            worker.phase = message
            return
        job = worker.job
        if isinstance(message, JobEnd):
            worker.job = None
            if message.error:
                del self._workers[pipe]
                worker.process.join()
        if job:
            yield job.key, message

    def _stop(self, number: int) -> Iterator[tuple[K, Any]]:
        """Pass a signal on to all workers, and wait until they have ended."""

        start = time.monotonic()
        with signals.writing():
            for worker in self._workers.values():
                with contextlib.suppress(OSError):
                    worker.requests.send(number)
            while self._busy() and _is_worth_waiting(self._busy(), time.monotonic() - start):
                for pipe in self._ready():
                    yield from (event for event in self._receive(pipe) if not isinstance(event[1], JobEnd))


def run_in_parallel(
        work: Callable[..., None], jobs: Sequence[tuple[Any, ...]], slots: int, on_message: Callable[[Any], None], *,
        names: Sequence[str] = ()) -> None:
    """Run work(*job, send) for each job, at most `slots` at the same time, each in a process of its own. What a job
    sends is passed to on_message. The first error ends all processes; a process that ends without reporting that its
    job is done is an error. A signal ends them too, as soon as they have saved checkpoints, and raises Interrupted.
    `names` are those of the jobs in messages, such as 'seed 3'.
    """

    with WorkerPool[int](work, slots) as pool:
        for number, job in enumerate(jobs):
            pool.submit(number, job, names[number] if names else f'job {number}')
        for _, event in pool.events():
            if not isinstance(event, JobEnd):
                on_message(event)
            elif event.error:
                raise event.error


def _is_worth_waiting(workers: Iterable[_Worker[K]], seconds: float) -> bool:
    """Whether some of the workers may still save something, so many seconds after they were asked to end."""

    phases = {worker.phase for worker in workers}
    return Phase.SAVING in phases or (Phase.WORKING in phases and seconds < _LIMIT_SECONDS) or seconds < _POLL_SECONDS


def _early_end(name: str, exit_code: int) -> LthError:
    """The error for a worker that ended before its job was done."""

    if exit_code < 0:
        return LthError(f'The worker process of {name} was killed by signal {-exit_code}; probably memory ran out. '
                        'Completed rounds are saved. Run the same command again to resume.',
                        exit_code=ENVIRONMENT_ERROR)
    return LthError(f'The worker process of {name} ended with exit code {exit_code} before its rounds were complete: '
                    'the code of the model, the data or a plug-in ends the process, for example by os._exit. Completed '
                    'rounds are saved. Remove that call, and run the same command again to resume.')
