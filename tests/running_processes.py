"""Processes as all systems know them, by psutil: neither /proc nor ps is on every machine."""
import contextlib
import os
from collections.abc import Iterator

import psutil


def is_running(process: int) -> bool:
    """Whether a process still computes. A zombie does not, which waits for its parent to ask for its exit code."""

    try:
        return psutil.Process(process).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def children(process: int) -> list[int]:
    """The numbers of the processes that a process started, in ascending order."""

    try:
        return sorted(child.pid for child in psutil.Process(process).children())
    except psutil.NoSuchProcess:
        return []


def running_in_session(session: int) -> list[int]:
    """The processes of a session that still compute."""

    found = []
    for process in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(process) == session and is_running(process):
                found.append(process)
    return found


def command_lines() -> Iterator[str]:
    """The command line of every process that this one may read."""

    for process in psutil.process_iter(['cmdline']):
        yield ' '.join(process.info['cmdline'] or ())
