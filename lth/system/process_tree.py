"""The processes that this process started, directly or not: they end with it."""
import contextlib
import multiprocessing
import os
import signal
from pathlib import Path

_PROCESSES = Path('/proc')


def kill_descendants() -> None:
    """Kill all processes that this process started, such as workers, compilers, and their children.

    They are found in /proc. Where there is none, as on macOS, only workers are killed, and what they started ends when
    it notices that its parent has ended.
    """

    for process in _descendants(os.getpid()) if _PROCESSES.is_dir() else _workers():
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _workers() -> list[int]:
    return [worker.pid for worker in multiprocessing.active_children() if worker.pid]


def _descendants(ancestor: int) -> list[int]:
    """The numbers of all processes below one, parents before their children."""

    children: dict[int, list[int]] = {}
    for entry in _PROCESSES.glob('[0-9]*'):
        with contextlib.suppress(OSError):
            # "number (name) state parent …", and the name may contain spaces and parentheses
            parent = (entry / 'stat').read_text(errors='replace').rpartition(')')[2].split()[1]
            children.setdefault(int(parent), []).append(int(entry.name))
    found = [ancestor]
    for process in found:
        found += children.get(process, [])
    return found[1:]
