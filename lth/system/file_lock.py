"""One writer at a time: a lock file that names its holder and ends with it, however it ends."""
import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lth.errors import LthError
from lth.system.files import write_error

LOCK_NAME = '.lock'


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds a folder for this process, or raises an LthError that names who does. The folder is made if need be, and
    leaves no trace if nothing was put into it.
    """

    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = _open_lock(folder)
        except OSError as error:
            raise LthError(write_error(folder, error)) from None
        try:
            yield
        finally:
            (folder / LOCK_NAME).unlink(missing_ok=True)
            file.close()
    finally:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def _open_lock(folder: Path) -> IO[str]:
    """The open lock file; the kernel lets go of it when this process ends."""

    path = folder / LOCK_NAME
    while True:
        file = open(path, 'a+', encoding='utf-8')  # pylint: disable=consider-using-with # held open as long as the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or 'another process'
            raise LthError(f'{folder} is being written by {holder}. Wait for it, stop it, or choose another folder '
                           'with --run.') from None
        # A holder that went away may have removed the file between our open and our lock: then lock the new one.
        if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            break
        file.close()
    file.truncate(0)
    file.write(json.dumps({'process': os.getpid(), 'host': socket.gethostname(), 'command': ' '.join(sys.argv)}))
    file.flush()
    return file
