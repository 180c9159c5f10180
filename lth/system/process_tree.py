"""The processes that this process started, directly or not: they end with it."""
import contextlib
import os
import signal
from pathlib import Path


def kill_descendants() -> None:
    """Kill all processes that this process started, such as workers, compilers, and their children.

    They are found in /proc; where there is none, as on macOS, workers notice themselves that their parent has ended.
    """

    for process in _descendants(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _descendants(ancestor: int) -> list[int]:
    """Return the numbers of all processes below one, parents before their children."""

    children: dict[int, list[int]] = {}
    for entry in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            # "number (name) state parent …", and the name may contain spaces and parentheses
            parent = (entry / 'stat').read_text(errors='replace').rpartition(')')[2].split()[1]
            children.setdefault(int(parent), []).append(int(entry.name))
    found = [ancestor]
    for process in found:
        found += children.get(process, [])
    return found[1:]
