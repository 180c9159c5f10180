"""Masks and scores of a run that is read without its network (stored_run.py), as vectors."""
import torch
from torch import Tensor

from lth.errors import LthError, quote
from lth.runs.round_reader import read_tensor_file
from lth.runs.stored_run import StoredRun
from lth.runs.tensor_checks import check_values
from lth.system import tensor_files

_BYTES_OF_SCORE = 8


def stored_mask(run: StoredRun, seed: int, number: int) -> Tensor:
    """The mask of a round, True for kept weights: (P,) bool, in the alphabetical order of the parameters' names, which
    is the same in all rounds of a model. LthError if its file was changed or is of another round.
    """

    mask = _read(run, seed, number, 'mask', torch.uint8.itemsize)
    kept, recorded = int(mask.sum()), run.record(seed, number).kept
    if mask.dtype != torch.bool or kept != recorded:
        folder = run.open_round(seed, number)
        raise LthError(f'{folder.folder / "mask.safetensors"} does not fit the other files: it keeps {kept} weights, '
                       f'{recorded} are recorded. {folder.advice}')
    return mask


def stored_scores(run: StoredRun, seed: int, number: int) -> Tensor | None:
    """The scores of a round in the order of its mask: (P,); None if the round has none, or --keep removed them."""

    record, folder = run.record(seed, number), run.open_round(seed, number)
    if 'scores' not in record.search or folder.removal_error('scores.safetensors'):
        return None
    return _read(run, seed, number, 'scores', _BYTES_OF_SCORE)


def _read(run: StoredRun, seed: int, number: int, name: str, item_bytes: int) -> Tensor:
    """The tensors of a file as one vector (P,)."""

    folder, record = run.open_round(seed, number), run.record(seed, number)
    at_most = record.prunable * item_bytes + tensor_files.MOST_BYTES_OF_HEADER
    header, tensors = read_tensor_file(folder, name, at_most=at_most)
    path = folder.folder / f'{name}.safetensors'
    for key in ('recipe', 'seed', 'round', 'prunable'):
        actual, expected = getattr(header, key), getattr(record, key)
        if actual != expected:
            raise LthError(f'{path} is not the file that belongs there: its {key} is {quote(actual)}, not '
                           f'{quote(expected)}. {folder.advice}')
    for parameter, tensor in tensors.items():
        check_values(path, parameter, tensor, folder.advice)
    vector = torch.cat([tensors[parameter].flatten() for parameter in sorted(tensors)])
    if len(vector) != record.prunable:
        raise LthError(f'{path} does not fit the other files: it has {len(vector)} values for {record.prunable} '
                       f'weights. {folder.advice}')
    return vector
