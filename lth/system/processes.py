"""Worker processes that never outlive their parent, however it died, and leave Ctrl-C to it; and work shared out among
them.
"""
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe, connection
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from lth.errors import LthError


class _WorkerError(NamedTuple):
    """An LthError on its way from a worker."""

    text: str


def available_slots(threads: int) -> int:
    """How many processes of so many threads have a core for each of them."""

    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, cores // threads)


def run_in_parallel(
        work: Callable[..., None], jobs: Sequence[tuple[Any, ...]], at_once: int, hear: Callable[[Any], None]) -> None:
    """Each job in a process of its own: work(*job, send), so many at once; what they send is heard. The first mistake
    ends them all.
    """

    waiting, working = list(jobs), dict[connection.Connection, SpawnProcess]()
    try:
        while waiting or working:
            while waiting and len(working) < at_once:
                receiver, sender = Pipe(duplex=False)
                working[receiver] = start_process(_do, work, waiting.pop(0), sender)
                sender.close()
            ready = connection.wait(list(working))
            for pipe in [pipe for pipe in working if pipe in ready]:
                _listen(pipe, working, hear)
    finally:
        for process in working.values():
            process.kill()
        for process in working.values():
            process.join()


def start_process(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """A fresh process that runs `work`, a function of a module, with these arguments."""

    process = multiprocessing.get_context('spawn').Process(target=_work, args=(work, *arguments), daemon=True)
    # Ctrl-C reaches the whole terminal group: the worker is deaf to it from its first moment on.
    with _deaf_to_interrupts():
        process.start()
    return process


def start_process_group(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """A fresh process that may have children: it leads a group of its own, which ends with this process."""

    process = multiprocessing.get_context('spawn').Process(target=_lead, args=(work, *arguments))
    process.start()
    return process


def kill_process_group(process: SpawnProcess) -> None:
    """Ends such a process and all that it started, if they have not ended yet."""

    assert process.pid
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _do(work: Callable[..., None], job: tuple[Any, ...], pipe: connection.Connection) -> None:
    try:
        work(*job, pipe.send)
    except LthError as error:
        pipe.send(_WorkerError(str(error)))
    pipe.close()


def _listen(
        pipe: connection.Connection, working: dict[connection.Connection, SpawnProcess], hear: Callable[[Any], None],
) -> None:
    """Passes on what one worker sends; a worker that has ended leaves the list, or ends it all by its error."""

    try:
        message = pipe.recv()
    except (EOFError, OSError):
        message = None
    if message is not None and not isinstance(message, _WorkerError):
        hear(message)
        return
    process = working.pop(pipe)
    process.join()
    if message is not None:
        raise LthError(message.text)
    if process.exitcode and process.exitcode < 0:
        raise LthError(f'A worker process was ended by signal {-process.exitcode}; perhaps memory ran out. What is '
                       'whole is kept: the same command goes on from there.')
    if process.exitcode:
        raise RuntimeError('a worker process failed; its traceback stands above')


def _lead(work: Callable[..., None], *arguments: Any) -> None:
    os.setsid()
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_group_with, args=(parent,), daemon=True).start()
    work(*arguments)
    os._exit(0)  # pylint: disable=protected-access # tidying up takes FFCV 5 s


def _end_group_with(parent: BaseProcess) -> None:
    parent.join()
    os.killpg(0, signal.SIGKILL)


def _work(work: Callable[..., None], *arguments: Any) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    work(*arguments)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)  # pylint: disable=protected-access # at once, in the middle of a step: whole rounds are on disk


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
