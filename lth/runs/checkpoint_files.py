"""The file of a checkpoint: the trainings of one seed in the round in progress, finished ones and the current one.

    seed-0/checkpoint/round-03-step-0004500/   state.safetensors   SHA256SUMS

What is in it of a training is described in stored_trainings.py.
"""
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from torch import Tensor

from lth.errors import LthError
from lth.runs import integrity, stored_trainings
from lth.runs.stored import Stored, validate_stored
from lth.runs.stored_trainings import StoredTraining
from lth.system import files, tensor_files
from lth.training.state import TrainingStart
from lth.training.task import Task

FILE = 'state.safetensors'
_FORMAT = 2
_NAME = re.compile(r'round-(\d{2,6})-step-(\d{7,15})')


class CheckpointFolder(NamedTuple):
    """The folder of a checkpoint of one seed, taken in this round at this iteration."""

    path: Path
    round: int
    step: int


class _TrainingFacts(Stored):
    starts: Annotated[list[Annotated[str, Field(pattern=r'^[0-9a-f]{32}$')]], Field(min_length=1, max_length=10_000)]
    step: Annotated[int, Field(ge=0, le=10 ** 15)]
    engine: Annotated[str, Field(max_length=100)]


class _Facts(Stored):
    format: Literal[2]
    holds: Literal['checkpoint']
    seed: int
    round: int
    trainings: Annotated[list[_TrainingFacts], Field(min_length=1, max_length=1000)]


def checkpoint_folders(parent: Path) -> list[CheckpointFolder]:
    """The complete checkpoints in a folder, the newest last."""

    entries = parent.iterdir() if parent.is_dir() else ()
    matches = [(entry, _NAME.fullmatch(entry.name)) for entry in entries]
    found = [CheckpointFolder(entry, int(match[1]), int(match[2])) for entry, match in matches if match]
    return sorted(found, key=lambda folder: folder[1:])


def folder_name(number: int, step: int) -> str:
    """The name of the folder of a checkpoint in this round, at this iteration."""

    return f'round-{number:02d}-step-{step:07d}'


def encode(seed: int, number: int, trainings: Sequence[StoredTraining]) -> dict[str, bytes]:
    """The content of each file of a checkpoint by its name."""

    tensors = {f'{index}/{name}': tensor for index, training in enumerate(trainings)
               for name, tensor in training.tensors.items()}
    facts = [{'starts': list(training.starts), 'step': training.step, 'engine': training.engine}
             for training in trainings]
    header = {'format': _FORMAT, 'holds': 'checkpoint', 'seed': seed, 'round': number, 'trainings': facts}
    return integrity.with_sums({FILE: tensor_files.encode(tensors, header)})


def replace_with(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the folder of a checkpoint atomically, and then remove the others of the same seed."""

    if folder.exists():
        shutil.rmtree(folder)
    files.write_folder(folder, contents)
    for entry in list(folder.parent.iterdir()):
        if entry != folder:
            shutil.rmtree(entry, ignore_errors=True)


def read(folder: CheckpointFolder, seed: int, *, at_most: int) -> list[StoredTraining]:
    """The trainings in a checkpoint of a seed, a file of at most so many bytes. LthError if it was changed, or
    is not the one that belongs there.
    """

    path, advice = folder.path / FILE, _advice(folder.path)
    checked = integrity.open_folder(folder.path, advice)
    if checked.sums is None:
        raise LthError(f'{folder.path / integrity.SUMS} is missing. {advice}')
    content = checked.read(FILE, at_most=at_most)
    header, tensors = tensor_files.decode(content, path, advice)
    facts = validate_stored(_Facts, header, str(path), advice)
    if (facts.seed, facts.round, facts.trainings[-1].step) != (seed, folder.round, folder.step):
        raise _unfit(folder.path, f'it is of seed {facts.seed}, round {facts.round}, iteration '
                                  f'{facts.trainings[-1].step}')
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise _unfit(folder.path, 'it holds numbers that are not finite')
    return [StoredTraining(tuple(training.starts), training.step, training.engine, _with_prefix(tensors, f'{index}/'))
            for index, training in enumerate(facts.trainings)]


def check(folder: CheckpointFolder, seed: int) -> None:
    """LthError if a checkpoint of a seed is damaged, as far as that shows without its training."""

    path = folder.path / FILE
    read(folder, seed, at_most=path.stat().st_size if path.is_file() else 0)


def check_fit(path: Path, training: StoredTraining, task: Task, start: TrainingStart) -> None:
    """LthError unless the tensors of a training, in the checkpoint at this path, could come from its start."""

    if not stored_trainings.fits(training, task, start):
        raise LthError(f'{path / FILE} was not written by this training, although its checksum is right: its tensors '
                       f'do not fit. Restore it from a copy, or move {path} away: the round is then trained again from '
                       'its start.')


def _unfit(path: Path, reason: str) -> LthError:
    return LthError(f'{path / FILE} is not the file that belongs there: {reason}. {_advice(path)}')


def _advice(path: Path) -> str:
    """What to do about a damaged checkpoint."""

    return f'{integrity.repair_advice(path.parent.parent.parent)}. The round is then trained again from its start.'


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, without it."""

    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
