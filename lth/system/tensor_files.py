"""Tensors in safetensors files with a JSON header. `safetensors.torch.load_file` reads these files too."""
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from lth.errors import LthError, excerpt
from lth.system.json_text import parse_json

Header = dict[str, Any]
# A single metadata entry: safetensors writes several in random order, and equal runs must give equal bytes.
_ENTRY = 'lth'
# The names, types and shapes of the tensors, and the header: 16 MiB are enough for 100,000 tensors.
MOST_BYTES_OF_HEADER = 2 ** 24
# What safetensors raises for a file that is not one, and for tensors of a type that torch does not have.
_UNREADABLE = (safetensors.SafetensorError, KeyError, OverflowError, RuntimeError, TypeError, ValueError)


def encode(tensors: dict[str, Tensor], header: Header) -> bytes:
    """The content of a file; equal tensors and headers give equal bytes."""

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(contiguous, {_ENTRY: json.dumps(header, sort_keys=True)})


def decode(content: bytes, path: Path, advice: str) -> tuple[Header, dict[str, Tensor]]:
    """The header and the tensors of the content of a file. LthError, which ends with the advice, if it is corrupt or
    was not written by lth.
    """

    header = _header(content, path, advice)
    try:
        return header, dict(sorted(safetensors.torch.load(content).items()))
    except _UNREADABLE as error:
        raise _corrupt(path, error, advice) from None


def _header(content: bytes, path: Path, advice: str) -> Header:
    """The entry of lth in the metadata, which safetensors.torch.load does not return."""

    length = int.from_bytes(content[:8], 'little')
    if not 2 <= length <= min(len(content) - 8, MOST_BYTES_OF_HEADER):
        raise _corrupt(path, 'its length is not the one in its first bytes', advice)
    head = parse_json(content[8:8 + length], f'The head of {path}', advice)
    metadata = head.get('__metadata__') if isinstance(head, dict) else None
    entry = metadata.get(_ENTRY) if isinstance(metadata, dict) else None
    header = parse_json(entry, f'The header of {path}', advice) if isinstance(entry, str) else None
    if not isinstance(header, dict):
        raise LthError(f'{path} was not written by lth: its metadata has no readable entry {_ENTRY!r}. Give a file of '
                       'a run folder.')
    return header


def _corrupt(path: Path, problem: object, advice: str) -> LthError:
    return LthError(f'{path} is corrupt or not a safetensors file ({excerpt(problem)}). {advice}')
