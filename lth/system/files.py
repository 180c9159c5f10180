"""Files that are either whole or absent: YAML read strictly, JSON and tensors written atomically.

Whatever is wrong with a file (absent, torn, foreign, a full disk) becomes an LthError that names it.
"""
import errno
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lth.errors import LthError

Raw = dict[str, Any]


def read_yaml(path: Path) -> Raw:
    """The mapping in a YAML file; keys given twice and anything but a mapping are refused."""

    try:
        content = parse_yaml(path.read_text(encoding='utf-8'), str(path))
    except OSError as error:
        raise LthError(f'Cannot read {path}: {error.strerror}.') from None
    except UnicodeDecodeError as error:
        raise LthError(f'{path} is not text: {error}.') from None
    if not isinstance(content, dict):
        raise LthError(f'{path}: expected `key: value` lines, found {type(content).__name__}.')
    return content


def parse_yaml(text: str, origin: str) -> Any:
    """The value of a YAML text, with 1e-3 a number (YAML 1.1 would make it a string); `origin` is where it stands."""

    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise LthError(f'{origin}: not valid YAML: {" ".join(str(error).split())}') from None


def dump_yaml(value: Raw) -> str:
    """The mapping as YAML, in its own order."""

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def write(path: Path, content: bytes) -> None:
    """Puts a whole file in place at once, on disk before this returns."""

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
        raise LthError(write_error(path, error)) from None


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Puts a whole folder of files in place at once: after a crash or a full disk it is complete or absent."""

    partial = folder.with_name(f'{folder.name}.partial')
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in contents.items():
            write(partial / name, content)
        os.rename(partial, folder)
        _sync_folder(folder.parent)
        _sync_folder(folder.parent.parent)
    except (OSError, LthError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise error if isinstance(error, LthError) else LthError(write_error(folder, error)) from None


def read_json(path: Path) -> Any:
    """The content of a JSON file."""

    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise LthError(f'Cannot read {path}: {error.strerror}.') from None
    except ValueError as error:
        raise LthError(
            f'{path} is torn or not JSON ({error}): restore it, or delete it if it can be made again.') from None


def write_error(path: Path, error: OSError) -> str:
    """The paragraph for a file or folder that cannot be written."""

    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    advice = 'Free some space' if full else 'Choose another place'
    return (f'Cannot write {path}: {error.strerror or error}. {advice}; every round completed so far is safe, and the '
            'same command goes on from there.')


def _sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut."""

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Loader(yaml.SafeLoader):  # pylint: disable=too-many-ancestors # PyYAML builds its loader of seven parts
    """YAML's safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, unless one of its keys stands there twice."""

        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                problem = f'the key {key!r} stands there twice'
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'^[-+]?\d+(\.\d*)?[eE][-+]?\d+$'), list('-+0123456789'))
