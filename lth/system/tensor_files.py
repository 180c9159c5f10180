"""Tensors in safetensors files with a JSON header. `safetensors.torch.load_file` reads these files too."""
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from lth.errors import LthError

Header = dict[str, Any]
# A single metadata entry: safetensors writes several in random order, and equal runs must give equal bytes.
_ENTRY = 'lth'


def encode(tensors: dict[str, Tensor], header: Header) -> bytes:
    """The content of a file; equal tensors and headers give equal bytes."""

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(contiguous, {_ENTRY: json.dumps(header, sort_keys=True)})


def read_header(path: Path) -> Header:
    """The header of a file. Its tensors are not read."""

    with _open(path) as file:
        return _header(path, file)


def read(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """The header and the tensors of a file. LthError if it is missing, corrupt or not written by lth."""

    with _open(path) as file:
        return _header(path, file), {name: file.get_tensor(name) for name in file.keys()}


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        with safetensors.safe_open(path, framework='pt') as file:
            yield file
    except OSError as error:
        raise LthError(f'Cannot read {path} ({error.strerror or error}). {_fix(path)}') from None
    except safetensors.SafetensorError as error:
        raise LthError(f'{path} is corrupt or not a safetensors file ({error}). {_fix(path)}') from None


def _header(path: Path, file: Any) -> Header:
    try:
        header = json.loads((file.metadata() or {})[_ENTRY])
    except (KeyError, ValueError):
        header = None
    if not isinstance(header, dict):
        raise LthError(f'{path} was not written by lth: its metadata has no readable entry {_ENTRY!r}. Give a file of '
                       'a run folder.')
    return header


def _fix(path: Path) -> str:
    return (f'Restore it from a copy, or delete {path.parent} and the folders of all later rounds: running the same '
            'command again recreates them.')
