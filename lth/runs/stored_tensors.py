"""Masks, scores and kept weights of a run that is read without its network (stored_run.py), as vectors."""
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lth.errors import LthError, quote
from lth.runs.round_tensors import header_difference, read_tensor_file
from lth.runs.stored_run import StoredRun
from lth.runs.tensor_checks import check_values
from lth.system import tensor_files
from lth.system.memory import total_memory

_BYTES_OF_SCORE = 8


class KeptWeights(NamedTuple):
    """The weights that a round keeps in a layer, before and after its training: `start` and `trained`, both (n,)."""

    layer: str
    start: Tensor
    trained: Tensor


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


def stored_kept_weights(run: StoredRun, seed: int, number: int) -> list[KeptWeights]:
    """The kept weights of each prunable layer of a round, from input to output as far as the round recorded the order.
    LthError if a file was changed or is of another round, or if the option --keep removed one.
    """

    record, folder, most = run.record(seed, number), run.open_round(seed, number), total_memory()
    stored_mask(run, seed, number)  # raises LthError if it does not fit the record
    masks, start, trained = (_tensors(run, seed, number, name, most) for name in ('mask', 'ticket', 'trained'))
    names = start.keys() | trained.keys() | masks.keys()
    if wrong := [name for name in names if not _fits(name, masks, start, trained)]:
        raise LthError(f'{folder.folder / "ticket.safetensors"} does not fit mask.safetensors and trained.safetensors: '
                       f'they have different tensors {quote(min(wrong))}. {folder.advice}')
    for file, tensors in (('ticket', start), ('trained', trained)):
        for name in masks:
            check_values(folder.folder / f'{file}.safetensors', name, tensors[name], folder.advice)
    order = {layer.name: position for position, layer in enumerate(record.layers)}
    in_order = sorted(masks, key=lambda name: (order.get(name, len(order)), name))
    return [KeptWeights(name, start[name][masks[name]], trained[name][masks[name]]) for name in in_order]


def _fits(name: str, masks: Mapping[str, Tensor], start: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> bool:
    """Whether a tensor has one shape and type before and after training, and the shape of its mask if it has one."""

    if name not in start or name not in trained:
        return False
    one, other = start[name], trained[name]
    is_alike = one.shape == other.shape and one.dtype == other.dtype
    return is_alike and (name not in masks or masks[name].shape == one.shape)


def _read(run: StoredRun, seed: int, number: int, name: str, item_bytes: int) -> Tensor:
    """The tensors of a file as one vector (P,)."""

    folder, record = run.open_round(seed, number), run.record(seed, number)
    tensors = _tensors(run, seed, number, name, record.prunable * item_bytes)
    for parameter, tensor in tensors.items():
        check_values(folder.folder / f'{name}.safetensors', parameter, tensor, folder.advice)
    vector = torch.cat([tensors[parameter].flatten() for parameter in sorted(tensors)])
    if len(vector) != record.prunable:
        path = folder.folder / f'{name}.safetensors'
        raise LthError(f'{path} does not fit the other files: it has {len(vector)} values for {record.prunable} '
                       f'weights. {folder.advice}')
    return vector


def _tensors(run: StoredRun, seed: int, number: int, name: str, most_bytes: int) -> dict[str, Tensor]:
    """The tensors of a file by parameter, of at most so many bytes."""

    folder, record = run.open_round(seed, number), run.record(seed, number)
    at_most = most_bytes + tensor_files.MOST_BYTES_OF_HEADER
    header, tensors = read_tensor_file(folder, name, at_most=at_most)
    if difference := header_difference(header, record):
        path = folder.folder / f'{name}.safetensors'
        raise LthError(f'{path} is not the file that belongs there: {difference}. {folder.advice}')
    return tensors
