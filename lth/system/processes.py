"""Worker processes that end with their parent, even if it is killed, and leave signals to it; parallel jobs."""
import contextlib
import enum
import functools
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, connection, resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple

from lth.errors import ENVIRONMENT_ERROR, LthError, LthWarning
from lth.system import signals, streams
from lth.system.environment import core_count
from lth.system.process_tree import kill_descendants

_POLL_SECONDS = 0.1
# Workers end 5 s after they were asked to. One that does not answer for longer is killed.
_LIMIT_SECONDS = 6.


class _Phase(enum.Enum):
    """What a worker is doing. It sends the last two when they begin."""

    STARTING = 'starting'  # its imports take seconds, in which it hears nothing
    WORKING = 'working'
    SAVING = 'saving a checkpoint before it ends'


@dataclass
class _Worker:
    """A process with one job, its name in messages, and the pipe by which it is asked to end."""

    name: str
    process: SpawnProcess
    requests: connection.Connection
    phase: '_Phase' = _Phase.STARTING


# The running workers by the pipes that they send to.
_Running = dict[connection.Connection, _Worker]


class _Outcome(NamedTuple):
    """The last message of a worker: it is done, it ends with an error, or with a bug whose traceback it printed."""

    error: LthError | None = None
    is_bug: bool = False


def available_slots(threads: int) -> int:
    """Number of processes with this many threads that can run at the same time with a core for each thread."""

    return max(1, core_count() // threads)


def run_in_parallel(
        work: Callable[..., None], jobs: Sequence[tuple[Any, ...]], slots: int, on_message: Callable[[Any], None], *,
        names: Sequence[str] = ()) -> None:
    """Run work(*job, send) for each job, each in its own process and at most `slots` of them at the same time. What a
    job sends is passed to on_message. The first error ends all processes; a process that ends without reporting that
    its job is done is an error. A signal ends them too, as soon as they have saved checkpoints, and raises Interrupted.
    `names` are those of the jobs in messages, such as 'seed 3'.
    """

    waiting = list(zip(names or [f'job {number}' for number in range(len(jobs))], jobs))
    running: _Running = {}
    with signals.deferred():
        try:
            while waiting or running:
                while waiting and len(running) < slots:
                    name, job = waiting.pop(0)
                    _start_job(work, name, job, running)
                for ready in _ready(running):
                    _receive(ready, running, on_message)
                if number := signals.requested():
                    _stop_workers(number, running, on_message)
                    signals.check()
        finally:
            _kill_all([worker.process for worker in running.values()])


def start_process(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """Start a process that runs work(*arguments); `work` is a function at the top level of a module."""

    process = multiprocessing.get_context('spawn').Process(target=_work, args=(work, *arguments), daemon=True)
    _start(process)
    return process


def start_process_group(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """Start a process that may have children: the leader of a new process group, which ends with this process."""

    process = multiprocessing.get_context('spawn').Process(target=_lead, args=(work, *arguments))
    _start(process)
    return process


def kill_process_group(process: SpawnProcess) -> None:
    """Kill the leader of a process group and its children, if they are still running."""

    assert process.pid
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _kill_all(running: Sequence[SpawnProcess]) -> None:
    for process in running:
        process.kill()
    for process in running:
        process.join()


def _start(process: SpawnProcess) -> None:
    """Start a process that leaves signals to its parent: a terminal sends them to all processes of its group."""

    resource_tracker.ensure_running()  # it would unblock the signals when the first process starts
    with signals.blocked():
        process.start()


def _start_job(work: Callable[..., None], name: str, job: tuple[Any, ...], running: _Running) -> None:
    receiver, sender = Pipe(duplex=False)
    obeyed, requests = Pipe(duplex=False)
    running[receiver] = _Worker(name, start_process(_run_job, work, job, sender, obeyed), requests)
    sender.close()
    obeyed.close()


def _run_job(
        work: Callable[..., None], job: tuple[Any, ...], pipe: connection.Connection, requests: connection.Connection,
) -> None:
    send = functools.partial(_send, pipe)
    signals.obey(requests, lambda: send(_Phase.SAVING))
    send(_Phase.WORKING)
    outcome = _Outcome(is_bug=True)
    try:
        work(*job, send)
        outcome = _Outcome()
    except LthError as error:
        outcome = _Outcome(error)
    finally:
        # Also for a bug, whose traceback is printed afterwards. os._exit and signals end a process without this.
        send(outcome)
        signals.end()
        pipe.close()


def _send(pipe: connection.Connection, message: Any) -> None:
    """Send a message to the parent process; end this process without a traceback if the parent was killed."""

    try:
        pipe.send(message)
    except BrokenPipeError:
        _exit()


def _stop_workers(number: int, running: _Running, on_message: Callable[[Any], None]) -> None:
    """Pass a signal on to all workers, and wait until they have ended."""

    start = time.monotonic()
    with signals.writing():
        for worker in running.values():
            with contextlib.suppress(OSError):
                worker.requests.send(number)
        while running and _is_worth_waiting(running.values(), time.monotonic() - start):
            for pipe in _ready(running):
                with contextlib.suppress(LthError, RuntimeError):
                    _receive(pipe, running, on_message)


def _is_worth_waiting(workers: Iterable[_Worker], seconds: float) -> bool:
    """Whether some of the workers may still save something, so many seconds after they were asked to end."""

    phases = {worker.phase for worker in workers}
    return _Phase.SAVING in phases or (_Phase.WORKING in phases and seconds < _LIMIT_SECONDS) or seconds < _POLL_SECONDS


def _ready(running: _Running) -> list[connection.Connection]:
    """Return the pipes of workers that sent something or have ended, after at most a moment."""

    ready = connection.wait(list(running), _POLL_SECONDS)
    return [pipe for pipe in running if pipe in ready]


def _receive(pipe: connection.Connection, running: _Running, on_message: Callable[[Any], None]) -> None:
    """Pass on one message of a worker. A worker that has ended is removed from `running`; its error is raised."""

    try:
        message = pipe.recv()
    except (EOFError, OSError):
        message = None
    if isinstance(message, _Phase):
        running[pipe].phase = message
        return
    if message is not None and not isinstance(message, _Outcome):
        on_message(message)
        return
    worker = running.pop(pipe)
    worker.process.join()
    if message is None:
        raise _early_end(worker.name, worker.process.exitcode or 0)
    if message.error is not None:
        raise message.error
    if message.is_bug:
        raise RuntimeError(f'the worker process of {worker.name} failed; its traceback is printed above')


def _early_end(name: str, exit_code: int) -> LthError:
    """The error for a worker that ended before its job was done."""

    if exit_code < 0:
        return LthError(f'The worker process of {name} was killed by signal {-exit_code}; probably memory ran out. '
                        'Completed rounds are saved. Run the same command again to resume.',
                        exit_code=ENVIRONMENT_ERROR)
    return LthError(f'The worker process of {name} ended with exit code {exit_code} before its rounds were complete: '
                    'the code of the model, the data or a plug-in ends the process, for example by os._exit. Completed '
                    'rounds are saved. Remove that call, and run the same command again to resume.')


def _lead(work: Callable[..., None], *arguments: Any) -> None:
    os.setsid()
    signals.leave_to_parent()
    _call_after_parent(os.killpg, 0, signal.SIGKILL)
    work(*arguments)
    os._exit(0)  # pylint: disable=protected-access # FFCV's cleanup takes 5 s


def _work(work: Callable[..., None], *arguments: Any) -> None:
    signals.leave_to_parent()
    # Also within a step: completed rounds and checkpoints are on disk.
    _call_after_parent(_exit)
    streams.lose_what_cannot_be_written()
    warnings.simplefilter('ignore', LthWarning)  # the parent process has shown them
    work(*arguments)


def _exit() -> None:
    """End this process and what it started."""

    kill_descendants()
    os._exit(1)  # pylint: disable=protected-access


def _call_after_parent(function: Callable[..., object], *arguments: int) -> None:
    """Call function(*arguments) in a thread when the parent process ends."""

    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_and_call() -> None:
        parent.join()
        function(*arguments)
    threading.Thread(target=wait_and_call, daemon=True).start()
