"""The file of a checkpoint: the trainings of one seed in the round in progress, finished ones and the current one.

    seed-0/checkpoint/round-03-step-0004500/   state.safetensors   SHA256SUMS

A training is identified by a digest of everything that it starts from, so a checkpoint is used only by the training
that it belongs to. To save something else of a training, add a tensor in `training_tensors` and `_snapshot`.
"""
import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from lth.errors import LthError
from lth.runs import integrity
from lth.runs.stored import Stored, validate_stored
from lth.system import files, tensor_files
from lth.training.engines.optimizers import state_vectors
from lth.training.task import Measurement, Metrics, Snapshot, State, Task, TrainingStart

FILE = 'state.safetensors'
_FORMAT = 2
_NAME = re.compile(r'round-(\d{2,6})-step-(\d{7,15})')
# Tensors that have no axis of replicates.
_SHARED = ('optimizer/step', 'has_train')


class CheckpointFolder(NamedTuple):
    """The folder of a checkpoint of one seed, taken in this round at this iteration."""

    path: Path
    round: int
    step: int


class StoredTraining(NamedTuple):
    """A training of one seed: a digest of the start of each of its replicates, the iteration, the engine that trained
    last, and the tensors of its snapshot by name.
    """

    starts: tuple[str, ...]
    step: int
    engine: str
    tensors: dict[str, Tensor]


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
    """Return the complete checkpoints in a folder, the newest last."""

    entries = parent.iterdir() if parent.is_dir() else ()
    matches = [(entry, _NAME.fullmatch(entry.name)) for entry in entries]
    found = [CheckpointFolder(entry, int(match[1]), int(match[2])) for entry, match in matches if match]
    return sorted(found, key=lambda folder: folder[1:])


def folder_name(number: int, step: int) -> str:
    """Return the name of the folder of a checkpoint in this round, at this iteration."""

    return f'round-{number:02d}-step-{step:07d}'


def start_digests(task: Task, start: TrainingStart, identity: str) -> tuple[str, ...]:
    """Return a digest of all that each replicate of a training starts from. `identity` is that of recipe, code and
    data.
    """

    settings = [identity, task.training.model_dump_json(), task.data_settings.model_dump_json(), start.until]
    state, digests = start.state.to(torch.device('cpu')), []
    trainable = start.trainable.cpu()
    for row, seed in enumerate(task.seeds):
        split_seed = task.split_seeds[row] if task.split_seeds else seed
        digest = hashlib.blake2b(json.dumps([*settings, seed, split_seed, state.step]).encode(), digest_size=16)
        for name, tensor in {'trainable': trainable, **_state_tensors(state)}.items():
            digest.update(name.encode())
            digest.update((tensor if name in _SHARED else tensor[row]).contiguous().numpy().tobytes())
        digests.append(digest.hexdigest())
    return tuple(digests)


def training_tensors(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return the tensors of a snapshot by name, on the CPU."""

    history = snapshot.state.history
    tensors = {
        **_state_tensors(snapshot.state), 'losses': snapshot.losses, 'correct': snapshot.correct,
        'history': torch.tensor([[_numbers(measured, row) for measured in history]
                                 for row in range(len(snapshot.losses))], dtype=torch.float64),
        'has_train': torch.tensor([measured.train is not None for measured in history])}
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def rows_of(tensors: dict[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
    """Return the tensors of some replicates."""

    return {name: tensor if name in _SHARED else tensor[list(rows)] for name, tensor in tensors.items()}


def stack_trainings(parts: Sequence[StoredTraining], order: Sequence[int]) -> Snapshot:
    """Return the snapshot of several seeds together. `order` gives the replicate of each row of the parts."""

    names, inverse = parts[0].tensors, torch.tensor(order).argsort()
    tensors = {name: names[name] if name in _SHARED else torch.cat([part.tensors[name] for part in parts])[inverse]
               for name in names}
    return _snapshot(tensors, parts[0].step, parts[0].engine)


def encode(seed: int, number: int, trainings: Sequence[StoredTraining]) -> dict[str, bytes]:
    """Return the content of each file of a checkpoint by its name."""

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
    """Return the trainings in a checkpoint of a seed, a file of at most so many bytes. LthError if it was changed, or
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

    shapes = _expected_shapes(training, task, start.state)
    actual = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in training.tensors.items()}
    in_range = start.state.step <= training.step <= start.until
    if actual != shapes or not in_range or not _is_consistent(training):
        raise LthError(f'{path / FILE} was not written by this training, although its checksum is right: its tensors '
                       f'do not fit. Restore it from a copy, or move {path} away: the round is then trained again from '
                       'its start.')


def _expected_shapes(
        training: StoredTraining, task: Task, state: State) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the shapes and types of the tensors of a training."""

    rows, stored, optimizer = len(training.starts), training.tensors, task.training.optimizer
    tensors = {'weights': state.weights, **{f'buffers/{name}': tensor for name, tensor in state.buffers.items()},
               **{f'optimizer/{name}': state.weights for name in state_vectors(optimizer)}}
    shapes = {name: ((rows, *tensor.shape[1:]), tensor.dtype) for name, tensor in tensors.items()}
    measurements, steps = _length(stored, 'history', 1), _length(stored, 'losses', 1)
    if optimizer.name != 'sgd':  # its count of steps has one element or several, depending on the engine
        shapes['optimizer/step'] = ((max(1, _length(stored, 'optimizer/step', 0)),), torch.float32)
    return shapes | {
        'history': ((rows, measurements, 7), torch.float64), 'has_train': ((measurements,), torch.bool),
        'losses': ((rows, steps), torch.float32), 'correct': ((rows, steps), torch.int64)}


def _unfit(path: Path, reason: str) -> LthError:
    return LthError(f'{path / FILE} is not the file that belongs there: {reason}. {_advice(path)}')


def _advice(path: Path) -> str:
    """Return what to do about a damaged checkpoint."""

    return f'{integrity.repair_advice(path.parent.parent.parent)}. The round is then trained again from its start.'


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""

    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _length(tensors: dict[str, Tensor], name: str, axis: int) -> int:
    tensor = tensors.get(name)
    return tensor.shape[axis] if tensor is not None and tensor.dim() > axis else 0


def _is_consistent(training: StoredTraining) -> bool:
    """Whether there are measurements, and whether they lead to the iteration of the snapshot."""

    iterations, steps = training.tensors['history'][:, :, 0], training.tensors['losses'].shape[1]
    if not iterations.shape[1]:
        return False
    ends = (iterations[:, -1] + steps == training.step).all()
    return bool(ends & (iterations.diff(dim=1) > 0).all() & (iterations == iterations[0]).all())


def _state_tensors(state: State) -> dict[str, Tensor]:
    return {'weights': state.weights,
            **{f'buffers/{name}': tensor for name, tensor in sorted(state.buffers.items())},
            **{f'optimizer/{name}': tensor for name, tensor in sorted(state.optimizer.items())}}


def _numbers(measured: Measurement, row: int) -> list[float]:
    """Return the iteration, and loss and accuracy of each split; 0 for a measurement without training."""

    numbers = [float(measured.iteration)]
    for metrics in measured[1:]:
        numbers += [metrics.loss[row], metrics.accuracy[row]] if metrics else [0., 0.]
    return numbers


def _snapshot(tensors: dict[str, Tensor], step: int, engine: str) -> Snapshot:
    parts: dict[str, dict[str, Tensor]] = {'buffers': {}, 'optimizer': {}}
    for name, tensor in tensors.items():
        kind, slash, rest = name.partition('/')
        if slash:
            parts[kind][rest] = tensor
    history = tuple(_measurement(tensors['history'][:, index].T.tolist(), has_train=has_train)
                    for index, has_train in enumerate(tensors['has_train'].tolist()))
    state = State(tensors['weights'], parts['buffers'], step, parts['optimizer'], history, engine)
    return Snapshot(state, tensors['losses'], tensors['correct'])


def _measurement(columns: list[list[float]], *, has_train: bool) -> Measurement:
    """Return the measurement with these seven columns of one number for each replicate."""

    pairs = [Metrics(tuple(columns[index]), tuple(columns[index + 1])) for index in (1, 3, 5)]
    return Measurement(int(columns[0][0]), pairs[0] if has_train else None, pairs[1], pairs[2])
