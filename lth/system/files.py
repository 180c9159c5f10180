"""Files and folders that are written atomically.

A file that is missing, corrupt or cannot be written gives an LthError with its path.
"""
import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

from lth.errors import ENVIRONMENT_ERROR, LthError, quote


def write(path: Path, content: bytes) -> None:
    """Write a file atomically. It is on disk when this function returns."""

    try:
        with open_atomically(path) as file:
            file.write(content)
    except OSError as error:
        raise write_error(path, error) from None


@contextlib.contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file that replaces `path` at the end of the block, when it is on disk. If the block fails, nothing changes.
    Incomplete files for this path are removed that processes left which were killed while they wrote them.
    """

    partial = new_partial_file(path)
    try:
        with _create_locked(partial) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(partial, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    for other in partial_files(path):
        _remove_abandoned(other)


def new_partial_file(path: Path) -> Path:
    """A path for the incomplete form of a file, next to it. Other calls, also on other hosts, return other paths."""

    return path.with_name(f'{path.name}.{secrets.token_hex(4)}.partial')


def partial_files(path: Path) -> list[Path]:
    """The incomplete files that processes left that were killed while they wrote the file at the path."""

    name = re.compile(rf'{re.escape(path.name)}\.[0-9a-f]+\.partial')
    return [other for other in path.parent.glob('*.partial') if name.fullmatch(other.name) and other.is_file()]


def is_at(file: IO[Any], path: Path) -> bool:
    """Whether an open file is the one at the path."""

    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def output_error(path: Path, error: OSError) -> LthError:
    """The error for a file that the user named and that cannot be written."""

    return LthError(f'Cannot write {quote(str(path))}: {error.strerror or error}. Choose another file with -o.',
                    exit_code=ENVIRONMENT_ERROR)


def create_folder(folder: Path) -> None:
    """Create a folder with all above it, unless it exists."""

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from None


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder of files atomically: after a crash or on a full disk it is complete or absent."""

    try:
        write_new_folder(folder, contents)
    except OSError as error:
        raise write_error(folder, error) from None


def write_new_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """As `write_folder`, but with the OSError of what fails."""

    partial = folder.with_name(f'{folder.name}.partial')
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in contents.items():
            with open_atomically(partial / name) as file:
                file.write(content)
        os.rename(partial, folder)
        _sync_folder(folder.parent)
        _sync_folder(folder.parent.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # absent if it was renamed


def move(path: Path, target: Path) -> None:
    """Move a file or folder to a place on the same disk, whose folder is created."""

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, target)
        _sync_folder(target.parent)
        _sync_folder(path.parent)
    except OSError as error:
        raise write_error(target, error) from None


def write_error(path: Path, error: OSError) -> LthError:
    """The error for a file or folder that cannot be written."""

    disk_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    advice = 'Free some space' if disk_full else 'Choose another folder'
    # In a folder that does not exist there is no earlier round.
    outcome = (f'{advice}, then run the same command again: it resumes after the last completed round.'
               if path.parent.exists() else f'Nothing was started. {advice}.')
    return LthError(f'Cannot write {path}: {error.strerror or error}. {outcome}', exit_code=ENVIRONMENT_ERROR)


def _create_locked(path: Path) -> BinaryIO:
    """A new file to write, locked until it is closed or its process ends, where the file system has locks."""

    while True:
        # pylint: disable-next=consider-using-with # open while it is locked
        file = open(path, 'xb')
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if is_at(file, path):  # otherwise `_remove_abandoned` was faster than the lock
            return file
        file.close()


def _remove_abandoned(path: Path) -> None:
    """Remove an incomplete file whose process ended: nobody has it locked."""

    with contextlib.suppress(OSError), open(path, 'r+b') as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_at(file, path):
            path.unlink()


def _sync_folder(folder: Path) -> None:
    """Write the entries of a folder to disk, so that a rename in it survives a power failure."""

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
