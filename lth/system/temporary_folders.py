"""Temporary folders of processes that may be killed: the next process that creates one removes what they have left."""
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lth.system import file_lock

_LOCK = 'lock'
# A process that has just created its folder may not have locked it yet.
_SECONDS_UNLOCKED = 60.


@contextlib.contextmanager
def create(prefix: str) -> Iterator[Path]:
    """A new temporary folder, by its real path, for the block. Folders of the same prefix whose processes have ended
    are removed.
    """

    parent = Path(tempfile.gettempdir()).resolve()
    for folder in parent.glob(f'{prefix}-{os.getuid()}-*'):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
    created = Path(tempfile.mkdtemp(prefix=f'{prefix}-{os.getuid()}-', dir=parent))
    try:
        with file_lock.hold(created / _LOCK, 'Remove that folder.'):
            yield created
    finally:
        shutil.rmtree(created, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        seconds = time.time() - folder.stat().st_mtime
    except OSError:
        return False
    return seconds > _SECONDS_UNLOCKED and file_lock.holder(folder / _LOCK) is None
