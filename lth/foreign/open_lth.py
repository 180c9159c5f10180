"""Runs of open_lth (Frankle): lottery_HASH/replicate_R/level_L/main with mask.pth and two checkpoints.

The checkpoint with the smaller step holds the weights before training, masked; the other one the trained weights. PATH
is the folder lottery_HASH, of one replicate, or of one level.
"""
import re
from functools import partial
from pathlib import Path

from lth.errors import LthError, quote
from lth.foreign.checkpoint_files import load_tensors
from lth.foreign.forms import FORMS, ForeignRound, ForeignRun
from lth.foreign.open_lth_settings import read_settings
from lth.system import reading

_MODEL = re.compile(r'model_ep(\d+)_it(\d+)\.pth')
_MASK = 'mask.pth'
_MOST_BYTES_OF_LOG = 2 ** 24
Step = tuple[int, int]


@FORMS.register('open_lth', 'open-lth')
def open_lth(path: Path) -> ForeignRun:
    """Runs of open_lth: a folder for each replicate and level."""

    levels = {seed: _levels(folder) for seed, folder in _replicates(path).items()}
    mains = [main for folders in levels.values() for main in folders]
    steps = {main: _steps(main) for main in mains}
    files = [main / _MASK for main in mains] + [file for main in mains for file in steps[main].values()]
    rounds = {seed: [partial(_read, main, folders[0]) for main in folders] for seed, folders in levels.items()}
    found = read_settings(mains[0] / 'hparams.log')
    notes = [*found.notes, *_recorded(mains[-1])]
    return ForeignRun(rounds, files, found.model, found.dataset, found.sections, min(steps[mains[0]]),
                      notes=notes)


def _replicates(path: Path) -> dict[int, Path]:
    """The folders of replicates by number: those in the path, or the path itself."""

    found = _numbered(path, 'replicate')
    match = re.fullmatch(r'replicate_(\d+)', path.resolve().name)
    return dict(sorted(found.items())) or {int(match[1]) if match else 0: path}


def _numbered(folder: Path, name: str) -> dict[int, Path]:
    """The folders NAME_N in a folder, by number."""

    if not folder.is_dir():
        return {}
    matches = ((re.fullmatch(rf'{name}_(\d+)', entry.name), entry) for entry in folder.iterdir())
    return {int(match[1]): entry for match, entry in matches if match}


def _levels(replicate: Path) -> list[Path]:
    """The folders `main` of the levels from 0 on; LthError if one is missing."""

    if (replicate / _MASK).is_file():
        return [replicate]
    numbers = sorted(_numbered(replicate, 'level'))
    if numbers != list(range(len(numbers))) or not numbers:
        have = f'it has the levels {numbers}' if numbers else 'it has no folder level_0'
        raise LthError(f'{replicate} is not a run of open_lth: {have}. Give a folder lottery_HASH, replicate_R or '
                       'level_L/main, with all levels from 0 on.')
    mains = [replicate / f'level_{number}' / 'main' for number in numbers]
    return [main if main.is_dir() else main.parent for main in mains]


def _steps(main: Path) -> dict[Step, Path]:
    """The checkpoints of a level by (epoch, iteration); LthError if the mask or the trained weights are missing."""

    if not (main / _MASK).is_file():
        raise LthError(f'{main} has no {_MASK}, so it is not a complete level of open_lth. Remove it, or finish the '
                       'level.')
    found = {(int(match[1]), int(match[2])): file for file in main.iterdir() if (match := _MODEL.fullmatch(file.name))}
    if not found:
        raise LthError(f'{main} has no model_epE_itI.pth, so the trained weights are missing. Remove the level, or '
                       'finish it.')
    return dict(sorted(found.items()))


def _read(main: Path, first: Path) -> ForeignRound:
    """The round of a level. If the level has no checkpoint from before training, that of level 0 is rewound to."""

    steps = _steps(main)
    start, end = min(steps), max(steps)
    before = steps[start] if start < end else None
    if before is None and main != first:
        before = _steps(first).get(min(_steps(first)))
    return ForeignRound(load_tensors(main / _MASK), load_tensors(before) if before else None, load_tensors(steps[end]))


def _recorded(main: Path) -> list[str]:
    """A note with the test accuracy that open_lth recorded at the end of a level; [] if there is none."""

    if not (main / 'logger').is_file():
        return []
    lines = reading.read_bytes(main / 'logger', at_most=_MOST_BYTES_OF_LOG).decode(errors='replace').splitlines()
    values = [match[1] for line in lines if (match := re.fullmatch(r'test_accuracy,\d+,([\d.e+-]+)', line))]
    if not values:
        return []
    return [f'open_lth recorded a test accuracy of {quote(values[-1])[1:-1]} in {main}; lth measures it again, and '
            'normalizes images by the statistics of their own training set']
