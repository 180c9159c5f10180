"""Worker processes that never outlive their parent, however it died, and leave Ctrl-C to it."""
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any


def started(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """A fresh process that runs `work`, a function of a module, with these arguments."""

    process = multiprocessing.get_context('spawn').Process(target=_work, args=(work, *arguments), daemon=True)
    # Ctrl-C reaches the whole terminal group: the worker is deaf to it from its first moment on.
    with _deaf_to_interrupts():
        process.start()
    return process


def started_with_children(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """A fresh process that may have children: it leads a group of its own, which ends with this process."""

    process = multiprocessing.get_context('spawn').Process(target=_lead, args=(work, *arguments))
    process.start()
    return process


def kill_with_children(process: SpawnProcess) -> None:
    """Ends such a process and all that it started, if they have not ended yet."""

    assert process.pid
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


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
