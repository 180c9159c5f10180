"""Tensors on disk as safetensors with a header that explains them, readable by `safetensors.torch.load_file` alone."""
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from lth.errors import LthError

Header = dict[str, Any]
# One entry: the library writes several in a random order, and equal runs must give equal bytes.
_ENTRY = 'lth'


def encode(tensors: dict[str, Tensor], header: Header) -> bytes:
    """The bytes of a file; equal tensors and headers give equal bytes."""

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(whole, {_ENTRY: json.dumps(header, sort_keys=True)})


def read_header(path: Path) -> Header:
    """What a file says of itself, without its tensors."""

    return _read(path, tensors=False)[0]


def read(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """The header and the tensors of a file; one that is absent, torn or foreign is an LthError."""

    return _read(path, tensors=True)


def _read(path: Path, *, tensors: bool) -> tuple[Header, dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            content = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}
    except OSError as error:
        raise LthError(f'Cannot read {path} ({error.strerror or error}). {_mend(path)}') from None
    except safetensors.SafetensorError as error:
        raise LthError(f'{path} is torn or not a safetensors file ({error}). {_mend(path)}') from None
    try:
        header = json.loads(metadata[_ENTRY])
    except (KeyError, ValueError):
        header = None
    if not isinstance(header, dict):
        raise LthError(f'{path} was not written by lth: its header has no {_ENTRY!r} entry that can be read. Point to '
                       'a file of a run folder.')
    return header, content


def _mend(path: Path) -> str:
    return (f'Restore it from a copy; or delete the folder {path.parent} and all later rounds beside it, and the same '
            'command makes them again.')
