"""Tensors by name in a file that torch.save wrote. Only tensors and plain containers are read: no code is executed."""
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lth.errors import LthError, excerpt, quote
from lth.foreign.forms import Named
from lth.system import reading

# torch.load raises them for files that are corrupt or no checkpoints.
_ERRORS = (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError,
           ImportError, ArithmeticError, MemoryError, RecursionError, zipfile.BadZipFile, pickle.UnpicklingError)
_GLOBAL = re.compile(r'GLOBAL (\S+)')
# Where programs keep the state dict among other things.
_KEYS = ('state_dict', 'model_state_dict', 'model')
_WRAPPERS = ('module', '_orig_mod')
_MOST_TENSORS = 100_000


def load_tensors(path: Path) -> Named:
    """The tensors of a state dict, without the prefixes of DataParallel and torch.compile. LthError if the file is
    none, or if reading it would run code, with what it asks for.
    """

    reading.require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about files that are refused here anyway
            content = torch.load(path, map_location='cpu', weights_only=True)
    except _ERRORS as error:
        raise _refusal(path, error) from None
    return {_plain_name(name): tensor for name, tensor in _state_dict(path, content).items()}


def _state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        content = next((content[key] for key in _KEYS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content or len(content) > _MOST_TENSORS:
        raise LthError(f'{path} holds {type(content).__name__}, and not a state dict: tensors by name. Save one with '
                       'torch.save(model.state_dict(), FILE).')
    for name, value in content.items():
        _check_entry(path, name, value)
    return dict(content)


def _check_entry(path: Path, name: object, value: object) -> None:
    """LthError unless this is a dense tensor of real numbers with a name."""

    if not isinstance(name, str) or not isinstance(value, Tensor):
        raise LthError(f'{path}: its entry {quote(name)} is {type(value).__name__}, and not a tensor with a name. Save '
                       'a state dict with torch.save(model.state_dict(), FILE).')
    if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != 'cpu':
        raise LthError(f'{path}: {quote(name)} is a sparse, quantized, complex or empty tensor. Save dense tensors of '
                       'real numbers.')


def _plain_name(name: str) -> str:
    return '.'.join(part for part in name.split('.') if part not in _WRAPPERS) or name


def _refusal(path: Path, error: BaseException) -> LthError:
    text = str(error)
    if 'eights only' in text or isinstance(error, pickle.UnpicklingError):
        found = _GLOBAL.search(text)
        other = f'it is not a plain checkpoint ({excerpt(_reason(text))})'
        wanted = f'it asks for {quote(found[1])}' if found else other
        return LthError(f'{path} cannot be read without running code: {wanted}. lth never executes code of a '
                        'checkpoint. If you trust the file, load it with the program that wrote it, and save only its '
                        'tensors: torch.save(model.state_dict(), FILE).')
    return LthError(f'{path} is not a file of torch.save, or it is cut off: {excerpt(text) or type(error).__name__}. '
                    'Give a state dict that torch.save wrote.')


def _reason(text: str) -> str:
    """The sentence of torch that says what was wrong, without its advice."""

    marker = 'WeightsUnpickler error:'
    return text.partition(marker)[2].strip().partition('\n')[0] if marker in text else text.partition('\n')[0]
