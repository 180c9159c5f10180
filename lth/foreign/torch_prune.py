"""Checkpoints of modules that were pruned with torch.nn.utils.prune: NAME_orig and NAME_mask in the place of NAME.

One file is one round; the files .pt and .pth of a folder are rounds in the order of the numbers in their names. A file
without masks is the dense network. The weights from which a ticket was trained are not in these files.
"""
import re
from functools import partial
from pathlib import Path

from lth.errors import LthError
from lth.foreign.checkpoint_files import load_tensors
from lth.foreign.forms import FORMS, ForeignRound, ForeignRun, Named

_ORIG, _MASK = '_orig', '_mask'
_SUFFIXES = ('.pt', '.pth', '.ckpt', '.bin')


@FORMS.register('torch-prune')
def torch_prune(path: Path) -> ForeignRun:
    """State dicts of modules that were pruned with torch.nn.utils.prune."""

    files = _files(path)
    if not files:
        raise LthError(f'{path} has no files {", ".join(_SUFFIXES)}. Give a state dict of a pruned module, or a folder '
                       'with one for each round.')
    if not any(name.endswith(_MASK) for file in files for name in load_tensors(file)):
        raise LthError(f'{files[0]} is not a ticket: none of its tensors is a mask of torch.nn.utils.prune, NAME{_MASK}'
                       f' next to NAME{_ORIG}. Save the state dict before prune.remove makes the masks permanent.')
    order = ', '.join(file.name for file in files)
    notes = [f'rounds are in the order of the file names: {order}'] if len(files) > 1 else []
    return ForeignRun({0: [partial(_read, file) for file in files]}, files, notes=notes)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted((file for file in path.iterdir() if file.suffix in _SUFFIXES), key=_order)


def _read(file: Path) -> ForeignRound:
    tensors = load_tensors(file)
    masks, trained = Named(), Named()
    for name, tensor in tensors.items():
        if name.endswith(_ORIG) and f'{name.removesuffix(_ORIG)}{_MASK}' in tensors:
            trained[name.removesuffix(_ORIG)] = tensor
        elif name.endswith(_MASK) and f'{name.removesuffix(_MASK)}{_ORIG}' in tensors:
            masks[name.removesuffix(_MASK)] = tensor
        else:
            trained[name] = tensor
    return ForeignRound(masks, None, trained)


def _order(file: Path) -> tuple[list[int], str]:
    """round-10 comes after round-9."""

    return [int(number) for number in re.findall(r'\d+', file.stem)], file.name
