"""Worker processes that end with their parent, even if it is killed, and leave signals to it."""
import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Any, NoReturn

from lth.errors import LthWarning
from lth.system import signal_handlers, streams
from lth.system.environment import core_count
from lth.system.process_tree import kill_descendants


def available_slots(threads: int) -> int:
    """Number of processes with this many threads that can run at the same time with a core for each thread."""

    return max(1, core_count() // threads)


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


def end_process() -> NoReturn:
    """End this process and what it started."""

    kill_descendants()
    os._exit(1)  # pylint: disable=protected-access


def kill_process_group(process: SpawnProcess) -> None:
    """Kill the leader of a process group and its children, if they are still running."""

    assert process.pid
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _start(process: SpawnProcess) -> None:
    """Start a process that leaves signals to its parent: a terminal sends them to all processes of its group."""

    resource_tracker.ensure_running()  # it would unblock the signals when the first process starts
    with signal_handlers.blocked():
        process.start()


def _lead(work: Callable[..., None], *arguments: Any) -> None:
    os.setsid()
    signal_handlers.leave_to_parent()
    _call_after_parent(os.killpg, 0, signal.SIGKILL)
    work(*arguments)
    os._exit(0)  # pylint: disable=protected-access # FFCV's cleanup takes 5 s


def _work(work: Callable[..., None], *arguments: Any) -> None:
    signal_handlers.leave_to_parent()
    # Also within a step: completed rounds and checkpoints are on disk.
    _call_after_parent(end_process)
    streams.lose_what_cannot_be_written()
    warnings.simplefilter('ignore', LthWarning)  # the parent process has shown them
    work(*arguments)


def _call_after_parent(function: Callable[..., object], *arguments: int) -> None:
    """Call function(*arguments) in a thread when the parent process ends."""

    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_and_call() -> None:
        parent.join()
        function(*arguments)
    threading.Thread(target=wait_and_call, daemon=True).start()
