"""What a process of a worker pool does: the jobs that arrive by a pipe, until one fails or it is asked to end."""
import contextlib
import enum
import functools
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from lth.errors import LthError
from lth.system import processes, signal_handlers, signals


class SentJob(NamedTuple):
    """A job as a worker gets it: its name in messages, such as 'seed 3', and the arguments of the work."""

    name: str
    arguments: tuple[Any, ...]


class JobEnd(NamedTuple):
    """The last event of a job: it is done, or failed with an LthError, or with a RuntimeError for a bug, whose
    traceback its process prints.
    """

    error: LthError | RuntimeError | None = None


class Phase(enum.Enum):
    """What a worker is doing. It sends the last two when they begin."""

    STARTING = 'starting'  # its imports take seconds, in which it receives nothing
    WORKING = 'working'
    SAVING = 'saving a checkpoint before it ends'


class _Place:
    """The slot of the pool that this process has."""

    slot = 0


def slot() -> int:
    """In a worker, the number of its slot, from 0: no two workers of a pool have the same one at the same time."""

    return _Place.slot


def serve(work: Callable[..., None], slot_number: int, jobs: Connection, events: Connection, requests: Connection,
          ) -> None:
    """Run work(*arguments, send) for each SentJob that `jobs` has, until one fails. Each Phase, what the job sends, and
    its JobEnd are sent to `events`. The number of a signal among the `requests` ends this process.
    """

    _Place.slot = slot_number
    send = functools.partial(_send, events)
    signal_handlers.obey(requests, lambda: send(Phase.SAVING))
    folder = os.getcwd()
    while True:
        try:
            job: SentJob = jobs.recv()
        except (EOFError, OSError):
            return
        with contextlib.suppress(OSError):
            os.chdir(folder)  # code of the user may have changed it, and paths of runs are relative
        send(Phase.WORKING)
        end = JobEnd(RuntimeError(f'the worker process of {job.name} failed; its traceback is printed above'))
        try:
            work(*job.arguments, send)
            end = JobEnd()
        except LthError as error:
            end = JobEnd(error)
            return
        finally:
            # Also for a bug, whose traceback is printed afterwards. os._exit and signals end a process without this.
            send(end)
            if end.error:
                signals.end()
                events.close()


def _send(pipe: Connection, message: Any) -> None:
    """Send a message to the parent process; end this process without a traceback if the parent was killed, or if code
    of the user has closed the pipe.
    """

    try:
        pipe.send(message)
    except OSError:
        processes.end_process()
