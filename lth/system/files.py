"""Files and folders that are written atomically, and YAML that is read strictly.

A file that is missing, corrupt or cannot be written gives an LthError with its path.
"""
import collections
import errno
import os
import re
import shutil
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lth.errors import ENVIRONMENT_ERROR, LthError, quote
from lth.system.reading import read_bytes

Raw = dict[str, Any]
# A recipe has about 2,000 bytes, 40 entries and 4 levels; that of a control also a number for each round.
_MOST_BYTES_OF_YAML = 2 ** 18
_MOST_ENTRIES = 50_000
_MOST_LEVELS = 32


def read_yaml(path: Path) -> Raw:
    """The mapping in a YAML file. LthError for duplicate keys and for anything that is not a mapping."""

    try:
        text = read_bytes(path, at_most=_MOST_BYTES_OF_YAML).decode('utf-8')
    except UnicodeDecodeError as error:
        raise LthError(f'{path} is not a text file in UTF-8: {error}.') from None
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        raise LthError(f'{path}: expected lines of the form `key: value`, found {type(content).__name__}.')
    return content


def parse_yaml(text: str, origin: str) -> Any:
    """The value of a YAML text. 1e-3 is a number, although YAML 1.1 says string. `origin` starts error messages."""

    try:
        value = yaml.load(text, Loader=_Loader)
        _check_nesting(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise LthError(f'{origin}: not valid YAML: {" ".join(str(error).split())}') from None
    return value


def dump_yaml(value: Raw) -> str:
    """The mapping as YAML; keys keep their order."""

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def write(path: Path, content: bytes) -> None:
    """Write a file atomically. It is on disk when this function returns."""

    partial = path.with_name(f'{path.name}.{os.getpid()}.partial')
    try:
        with open(partial, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise write_error(path, error) from None


def create_folder(folder: Path) -> None:
    """Create a folder with all above it, unless it exists."""

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from None


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder of files atomically: after a crash or on a full disk it is complete or absent."""

    partial = folder.with_name(f'{folder.name}.partial')
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in contents.items():
            write(partial / name, content)
        os.rename(partial, folder)
        _sync_folder(folder.parent)
        _sync_folder(folder.parent.parent)
    except OSError as error:
        raise write_error(folder, error) from None
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
    return LthError(f'Cannot write {path}: {error.strerror or error}. {advice}, then run the same command again: it '
                    'resumes after the last completed round.', exit_code=ENVIRONMENT_ERROR)


def _check_nesting(value: Any) -> None:
    """ValueError if the value is nested too deep, as one that contains itself, or has too many entries. Aliases make
    2^28 entries of 28 short lines.
    """

    level, count = [value], 0
    for _ in range(_MOST_LEVELS):
        lists = [list(item.values()) if isinstance(item, dict) else item for item in level
                 if isinstance(item, (dict, list))]
        count += sum(map(len, lists))
        if not lists:
            return
        if count > _MOST_ENTRIES:
            raise ValueError(f'it has more than {_MOST_ENTRIES:,} entries')
        level = [entry for entries in lists for entry in entries]
    raise ValueError(f'it is nested more than {_MOST_LEVELS} levels deep')


def _sync_folder(folder: Path) -> None:
    """Write the entries of a folder to disk, so that a rename in it survives a power failure."""

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# The loader in C is five times as fast, which lists of many runs need, and limits the nesting of a file.
if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    _SafeLoader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


class _Loader(_SafeLoader):  # pylint: disable=too-many-ancestors # PyYAML's loader has seven base classes
    """PyYAML's safe loader, but a duplicate key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; ConstructorError for a duplicate key."""

        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if all(isinstance(key, Hashable) for key in keys):  # super() refuses others
            key, count = next(iter(collections.Counter(keys).most_common(1)), ('', 0))
            if count > 1:
                problem = f'the key {quote(key)} is given twice'
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'^[-+]?\d+(\.\d*)?[eE][-+]?\d+$'), list('-+0123456789'))
