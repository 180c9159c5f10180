"""Worker processes that end with their parent, even if it is killed, and leave Ctrl-C to it; parallel jobs."""
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe, connection
from multiprocessing.context import SpawnProcess
from typing import Any

from lth.errors import ENVIRONMENT_ERROR, LthError


def available_slots(threads: int) -> int:
    """Number of processes with this many threads that can run at the same time with a core for each thread."""

    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, cores // threads)


def run_in_parallel(
        work: Callable[..., None], jobs: Sequence[tuple[Any, ...]], slots: int, on_message: Callable[[Any], None],
) -> None:
    """Run work(*job, send) for each job, each in its own process and at most `slots` of them at the same time. What a
    job sends is passed to on_message. The first error ends all processes.
    """

    waiting, running = list(jobs), dict[connection.Connection, SpawnProcess]()
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                receiver, sender = Pipe(duplex=False)
                running[receiver] = start_process(_run_job, work, waiting.pop(0), sender)
                sender.close()
            ready = connection.wait(list(running))
            for pipe in [pipe for pipe in running if pipe in ready]:
                _receive(pipe, running, on_message)
    finally:
        for process in running.values():
            process.kill()
        for process in running.values():
            process.join()


def start_process(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """Start a process that runs work(*arguments); `work` is a function at the top level of a module."""

    process = multiprocessing.get_context('spawn').Process(target=_work, args=(work, *arguments), daemon=True)
    # The terminal sends Ctrl-C to all processes of its group: a worker ignores it from its start.
    with _ignore_interrupts():
        process.start()
    return process


def start_process_group(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """Start a process that may have children: the leader of a new process group, which ends with this process."""

    process = multiprocessing.get_context('spawn').Process(target=_lead, args=(work, *arguments))
    process.start()
    return process


def kill_process_group(process: SpawnProcess) -> None:
    """Kill the leader of a process group and its children, if they are still running."""

    assert process.pid
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _run_job(work: Callable[..., None], job: tuple[Any, ...], pipe: connection.Connection) -> None:
    try:
        work(*job, pipe.send)
    except LthError as error:
        pipe.send(error)
    pipe.close()


def _receive(
        pipe: connection.Connection, running: dict[connection.Connection, SpawnProcess],
        on_message: Callable[[Any], None]) -> None:
    """Pass on one message of a worker. A worker that has ended is removed from `running`; its error is raised."""

    try:
        message = pipe.recv()
    except (EOFError, OSError):
        message = None
    if message is not None and not isinstance(message, LthError):
        on_message(message)
        return
    process = running.pop(pipe)
    process.join()
    if message is not None:
        raise message
    if process.exitcode and process.exitcode < 0:
        raise LthError(f'A worker process was killed by signal {-process.exitcode}; probably memory ran out. Completed '
                       'rounds are saved. Run the same command again to resume.', exit_code=ENVIRONMENT_ERROR)
    if process.exitcode:
        raise RuntimeError('a worker process failed; its traceback is printed above')


def _lead(work: Callable[..., None], *arguments: Any) -> None:
    os.setsid()
    _call_after_parent(os.killpg, 0, signal.SIGKILL)
    work(*arguments)
    os._exit(0)  # pylint: disable=protected-access # FFCV's cleanup takes 5 s


def _work(work: Callable[..., None], *arguments: Any) -> None:
    # Also within a step: completed rounds are on disk.
    _call_after_parent(os._exit, 1)  # pylint: disable=protected-access
    work(*arguments)


def _call_after_parent(function: Callable[..., object], *arguments: int) -> None:
    """Call function(*arguments) in a thread when the parent process ends."""

    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_and_call() -> None:
        parent.join()
        function(*arguments)
    threading.Thread(target=wait_and_call, daemon=True).start()


@contextlib.contextmanager
def _ignore_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
