"""One process writes to a folder at a time: a lock file that names its process and is released when it ends."""
import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.system.files import write_error

LOCK_NAME = '.lock'


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder during the block. LthError with the process, host and command line of the holder if
    another process has it. Folders that are created for the lock and are still empty afterwards are removed.
    """

    created = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = _acquire(folder / LOCK_NAME)
        except OSError as error:
            raise write_error(folder, error) from None
        try:
            yield
        finally:
            (folder / LOCK_NAME).unlink(missing_ok=True)
            file.close()
    finally:
        for parent in created:
            with contextlib.suppress(OSError):
                parent.rmdir()


def _acquire(path: Path) -> IO[str]:
    """The lock file, open and locked. The kernel releases the lock when this process ends."""

    while True:
        file = open(path, 'a+', encoding='utf-8')  # pylint: disable=consider-using-with # open while it is locked
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or 'another process'
            raise LthError(f'{path.parent} is being written by {holder}. Wait until it ends, stop it, or choose '
                           'another folder with --run.', exit_code=ENVIRONMENT_ERROR) from None
        # The previous holder may have removed the file after it was opened here: then open and lock the new file.
        if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            break
        file.close()
    file.truncate(0)
    file.write(json.dumps({'process': os.getpid(), 'host': socket.gethostname(), 'command': ' '.join(sys.argv)}))
    file.flush()
    return file
