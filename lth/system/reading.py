"""Files that are read once and completely: only regular files, and only up to a size that the caller knows.

A pipe never blocks, a device never fills the memory, and the bytes that were checked are the bytes that are parsed.
"""
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError

_KINDS = {stat.S_IFDIR: 'a folder', stat.S_IFIFO: 'a named pipe', stat.S_IFSOCK: 'a socket',
          stat.S_IFCHR: 'a device', stat.S_IFBLK: 'a device'}
_PERMISSION_ERRORS = (errno.EACCES, errno.EPERM)
# Errors that come from the path; all others, such as EIO, are of the environment, and the file may be intact.
_PATH_ERRORS = (
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
_CHUNK = 2 ** 20


def read_bytes(path: Path, *, at_most: int, advice: str = 'Check the path.') -> bytes:
    """The content of a regular file. LthError, with the operating system's words, if it cannot be read; also for
    anything but a file, and for more than `at_most` bytes. `advice` says how to fix a missing or wrong file.
    """

    try:
        _refuse_other_kinds(path, os.stat(path), advice)
        # Without O_NONBLOCK, opening a pipe that replaced the file after the check would wait for its writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), 'rb') as file:
            status = os.fstat(file.fileno())
            _refuse_other_kinds(path, status, advice)
            if status.st_size > at_most:
                raise _too_large(path, status.st_size, at_most, advice)
            content = _read(file, status.st_size, at_most)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise read_error(path, error, advice) from None
    if len(content) > at_most:
        raise _too_large(path, len(content), at_most, advice)
    return content


def require_file(path: Path, advice: str = 'Check the path.') -> None:
    """LthError unless the path is a regular file, for code of others that reads it."""

    try:
        _refuse_other_kinds(path, os.stat(path), advice)
    except OSError as error:
        raise read_error(path, error, advice) from None


def read_error(path: Path, error: OSError | ValueError, advice: str = 'Check the path.') -> LthError:
    """The error for a file or folder that cannot be read."""

    number = getattr(error, 'errno', errno.EINVAL)
    if number in _PERMISSION_ERRORS:
        advice = 'Change its permissions, or those of the folders above it.'
    elif number not in _PATH_ERRORS:
        advice = 'Check the disk, then repeat the command.'
    words = getattr(error, 'strerror', None) or error
    return LthError(f'Cannot read {path}: {words}. {advice}',
                    exit_code=USER_ERROR if number in _PATH_ERRORS else ENVIRONMENT_ERROR)


def _read(file: BinaryIO, size: int, at_most: int) -> bytes:
    """The content of a file of about this size, and not much more than `at_most` bytes of a file that grows. Reading
    `at_most` bytes at once would allocate them all: with the memory of the machine as the limit, that can fail.
    """

    content = file.read(size + 1)
    while len(content) <= at_most and (more := file.read(_CHUNK)):
        content += more
    return content


def _refuse_other_kinds(path: Path, status: os.stat_result, advice: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), 'of an unknown kind')
        raise LthError(f'{path} is {kind}, not a file. {advice}')


def _too_large(path: Path, size: int, at_most: int, advice: str) -> LthError:
    return LthError(f'{path} is too large: it has {size:,} bytes, and at most {at_most:,} are expected. {advice}')
