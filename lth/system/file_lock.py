"""Locks between processes: a file that names its holder, and that the kernel unlocks when the holder ends."""
import contextlib
import fcntl
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.system import cluster_job
from lth.system.files import is_at, write_error

LOCK_NAME = '.lock'
# `holder` locks the file for an instant, so a single failure does not prove that somebody else holds it.
_TRIES, _PAUSE = 4, 0.05
_PATIENCE = 60  # seconds; a short lock is held for milliseconds, on a slow network for seconds
_LONG_PATIENCE = 3600
_MOST_BYTES = 4096


@contextlib.contextmanager
def hold(path: Path, remedy: str) -> Iterator[None]:
    """Hold the lock file at the path during the block. LthError, which names process, host and command of the holder
    and ends with the remedy, if another process has it. Folders that are created for the lock and are still empty
    afterwards are removed.
    """

    with _held(path, tries=_TRIES, remedy=remedy):
        yield


@contextlib.contextmanager
def hold_briefly(path: Path) -> Iterator[None]:
    """Hold the lock file at the path during a block that takes moments; wait while another process has it."""

    with _held(path, tries=int(_PATIENCE / _PAUSE), remedy='Stop that process, then repeat the command.'):
        yield


@contextlib.contextmanager
def hold_patiently(path: Path) -> Iterator[None]:
    """Hold the lock file at the path during a block that may take minutes, such as a download; wait up to an hour while
    another process has it.
    """

    with _held(path, tries=int(_LONG_PATIENCE / _PAUSE), remedy='Stop that process, then repeat the command.'):
        yield


def holder(path: Path) -> str | None:
    """The process that holds the lock file at the path, in words; None if nobody does."""

    try:
        with _open(path, os.O_RDONLY) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _describe(file)
    except OSError:  # it does not exist, or the file system has no locks
        pass
    return None


@contextlib.contextmanager
def _held(path: Path, *, tries: int, remedy: str) -> Iterator[None]:
    created = [parent for parent in path.parents if not parent.exists()]
    try:
        try:
            file = _acquire(path, tries=tries, remedy=remedy)
        except OSError as error:
            raise write_error(path.parent, error) from None
        try:
            yield
        finally:
            if is_at(file, path):  # the folder may have been moved, and another process may work in a new one
                path.unlink()
            file.close()
    finally:
        for parent in created:
            with contextlib.suppress(OSError):
                parent.rmdir()


def _acquire(path: Path, *, tries: int, remedy: str) -> IO[str]:
    """The lock file, open and locked. The kernel releases the lock when this process ends."""

    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process removed the folder, which was empty
            file = _open(path, os.O_RDWR | os.O_CREAT)
            try:
                _lock(file, path, tries=tries, remedy=remedy)
                # The previous holder may have removed the file after it was opened here: then lock the new file.
                if is_at(file, path):
                    break
            except BaseException:
                file.close()
                raise
            file.close()
    file.truncate(0)
    file.write(json.dumps({'process': os.getpid(), 'host': socket.gethostname(), 'job': cluster_job.in_words(),
                           'command': ' '.join(sys.argv)}))
    file.flush()
    return file


def _open(path: Path, flags: int) -> IO[str]:
    """The file; LthError if it is a FIFO or another special file, which would block."""

    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LthError(f'{path} is not a regular file. Move it away.')
    # pylint: disable-next=consider-using-with # open while it is locked
    return open(descriptor, 'r+' if flags & os.O_RDWR else 'r', encoding='utf-8', errors='replace')


def _lock(file: IO[str], path: Path, *, tries: int, remedy: str) -> None:
    for last in [False] * (tries - 1) + [True]:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if last:
                raise LthError(f'{path.parent} is being written by {_describe(file)}. {remedy}',
                               exit_code=ENVIRONMENT_ERROR) from None
        except OSError as error:
            raise LthError(f'Cannot lock {path}: {error.strerror}. Its file system has no locks, so two commands could '
                           'write the same files at the same time. Choose a folder on a local disk.',
                           exit_code=ENVIRONMENT_ERROR) from None
        time.sleep(_PAUSE)


def _describe(file: IO[str]) -> str:
    """The holder that a lock file names, in words. The file may be empty, or of another version."""

    try:
        file.seek(0)
        facts = json.loads(file.read(_MOST_BYTES))
        process = f'process {facts["process"]} on {facts["host"]} ({facts["command"]:.100})'
        return f'{facts["job"]:.100}, {process}' if facts.get('job') else process
    except (ValueError, TypeError, KeyError, RecursionError):
        return 'another process'
