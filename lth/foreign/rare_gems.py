"""Checkpoints of the rare-gems program: each layer has `weight`, `scores` and `flag`, and dummies for the bias.

PATH is model_before_finetune.pth, or a folder with this file and perhaps model_after_finetune.pth. The mask is what
that program multiplies weights with: the flag, and scores above 0.5 (Sreenivasan et al. 2022, algorithm 1).
"""
from functools import partial
from pathlib import Path

from lth.errors import LthError, quote
from lth.foreign.checkpoint_files import load_tensors
from lth.foreign.forms import FORMS, ForeignRound, ForeignRun, Named

_BEFORE, _AFTER = 'model_before_finetune.pth', 'model_after_finetune.pth'
_SEARCHED = ('scores', 'flag', 'bias_scores', 'bias_flag')
_THRESHOLD = 0.5


@FORMS.register('rare-gems')
def rare_gems(path: Path) -> ForeignRun:
    """Checkpoints of the rare-gems program: weights with scores and flags."""

    before = path / _BEFORE if path.is_dir() else path
    after = path / _AFTER if path.is_dir() and (path / _AFTER).exists() else None
    if not before.exists():
        raise LthError(f'{path} has no {_BEFORE}. Give this file, or the folder of results that has it.')
    masks = _masks(before, load_tensors(before))
    assert masks
    note = (f'the trained weights are those of {_AFTER}' if after else
            'the weights are those before any training, as of a gem that was not finetuned')
    return ForeignRun({0: [partial(_read, before, after)]}, [before, *([after] if after else [])],
                      preset='gems', notes=[note])


def _read(before: Path, after: Path | None) -> ForeignRound:
    tensors = load_tensors(before)
    trained = tensors if after is None else load_tensors(after)
    return ForeignRound(_masks(before, tensors), _plain(tensors), _plain(trained))


def _plain(tensors: Named) -> Named:
    """The tensors that a network has without the search."""

    return {name: tensor for name, tensor in tensors.items() if name.rpartition('.')[2] not in _SEARCHED}


def _masks(file: Path, tensors: Named) -> Named:
    """The mask of each weight that has scores; LthError if there are none, or if scores are those of edge-popup."""

    masks = {}
    for name, scores in tensors.items():
        layer, _, leaf = name.rpartition('.')
        if leaf != 'scores':
            continue
        if not bool(((scores >= 0) & (scores <= 1)).all()):
            raise LthError(f'{file}: {quote(name)} has values outside of 0 … 1, as scores of edge-popup. How many '
                           'weights they select is not in the file: set the scores to 0 and 1 before it is saved.')
        flag = tensors.get(f'{layer}.flag', scores.new_ones(scores.shape))
        masks[f'{layer}.weight'] = (scores > _THRESHOLD).to(flag.dtype) * flag
    if not masks:
        raise LthError(f'{file} is not a gem of the rare-gems program: none of its layers has `scores`. For masks of '
                       'torch.nn.utils.prune use the form torch-prune.')
    return masks
