"""Signals that ask this process to end: Ctrl-C (SIGINT), SIGTERM, and SIGHUP, which a closed terminal sends.

Work that has something to save is done in `deferred()`: there a signal is only recorded, and the work calls `check`
where it can stop. If it does not within 5 seconds, or if another signal arrives, the process ends where it is, which is
safe because all files are written atomically. Outside of `deferred()` the process ends at once. How signals arrive is
in signal_handlers.py.
"""
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import NoReturn

from lth.system import launch

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How long deferred work may take until it stops, without the time in which it writes.
LIMIT_SECONDS = 5.


class Interrupted(KeyboardInterrupt):
    """Raised by `check` after a signal with this number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _State:
    """What was asked of this process, and what it is doing. Signals belong to a process, so there is one."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.deferrals = self.writers = 0
        self.end: Callable[[int], NoReturn] | None = None
        self.on_writing: Callable[[], object] = int


state = _State()


def requested() -> int | None:
    """The number of the signal that asked this process to end, None if there was none."""

    return state.number


def check() -> None:
    """Raise Interrupted if a signal asked this process to end."""

    if state.number is not None:
        raise Interrupted(state.number)


def request(number: int, on_writing: Callable[[], object] = int) -> None:
    """Ask this process, a worker of a cluster or one of several ranks, to stop at the next `check`. Unlike a signal
    this does not end the process, which has to hand over what it saves. `on_writing` is called when it writes a
    checkpoint before.
    """

    state.number, state.on_writing = number, on_writing


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let a signal that arrives in the block only be recorded. At the end of the block it raises Interrupted."""

    state.deferrals += 1
    try:
        yield
    finally:
        state.deferrals -= 1
    if not state.deferrals:
        check()


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Do not count the time of the block, which writes a checkpoint, as time since the signal."""

    state.writers += 1
    try:
        if state.number is not None:
            state.on_writing()
        yield
    finally:
        state.writers -= 1


def resume_message() -> str:
    """What an interrupted command prints last: how to resume."""

    return f'Interrupted. Completed rounds and checkpoints are saved. To resume, run:\n  {launch.command_line()}'


def end() -> None:
    """End the process of a command line after Interrupted was raised; return in other programs."""

    if state.end and state.number is not None:
        state.end(state.number)  # pylint: disable=not-callable # signal_handlers sets it
