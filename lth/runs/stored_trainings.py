"""Trainings as tensors by name, for checkpoints: those of one seed are stored, and several are stacked to continue.

A training is identified by a digest of everything that it starts from, so a checkpoint is used only by the training
that it belongs to. To save something else of a training, add a tensor in `training_tensors` and `_snapshot`.
"""
import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lth.training.engines.optimizers import state_vectors
from lth.training.state import (
    EVENT_COLUMNS, WATCHED, Differing, Measurement, Metrics, Snapshot, State, TrainingStart, Wiring)
from lth.training.task import Task

# Tensors that have no axis of replicates.
_SHARED = ('optimizer/step', 'has_train')


class StoredTraining(NamedTuple):
    """A training of one seed: a digest of the start of each of its replicates, the iteration, the engine that trained
    last, and the tensors of its snapshot by name.
    """

    starts: tuple[str, ...]
    step: int
    engine: str
    tensors: dict[str, Tensor]


def start_digests(task: Task, start: TrainingStart, identity: str) -> tuple[str, ...]:
    """A digest of all that each replicate of a training starts from. `identity` is that of recipe, code and
    data.
    """

    settings = [identity, task.training.model_dump_json(), task.data_settings.model_dump_json(), start.until]
    state, digests = start.state.to(torch.device('cpu')), []
    trainable = start.trainable.cpu()
    for row, seed in enumerate(task.seeds):
        split_seed = task.run_seeds[row]
        digest = hashlib.blake2b(json.dumps([*settings, seed, split_seed, state.step]).encode(), digest_size=16)
        for name, tensor in {'trainable': trainable, **_state_tensors(state)}.items():
            digest.update(name.encode())
            digest.update((tensor if name in _SHARED else tensor[row]).contiguous().numpy().tobytes())
        digests.append(digest.hexdigest())
    return tuple(digests)


def training_tensors(snapshot: Snapshot) -> dict[str, Tensor]:
    """The tensors of a snapshot by name, on the CPU."""

    history = snapshot.state.history
    tensors = {
        **_state_tensors(snapshot.state), 'losses': snapshot.losses, 'correct': snapshot.correct,
        'history': torch.tensor([[_numbers(measured, row) for measured in history]
                                 for row in range(len(snapshot.losses))], dtype=torch.float64),
        'has_train': torch.tensor([measured.train is not None for measured in history]),
        **_watched_tensors(snapshot.state)}
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def rows_of(tensors: dict[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
    """The tensors of some replicates."""

    return {name: tensor if name in _SHARED else tensor[list(rows)] for name, tensor in tensors.items()}


def stack_trainings(parts: Sequence[StoredTraining], order: Sequence[int]) -> Snapshot:
    """The snapshot of several seeds together. `order` gives the replicate of each row of the parts."""

    names, inverse = parts[0].tensors, torch.tensor(order).argsort()
    tensors = {name: names[name] if name in _SHARED else torch.cat([part.tensors[name] for part in parts])[inverse]
               for name in names}
    return _snapshot(tensors, parts[0].step, parts[0].engine)


def fits(training: StoredTraining, task: Task, start: TrainingStart) -> bool:
    """Whether the tensors of a stored training could come from this start."""

    actual = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in training.tensors.items()}
    in_range = start.state.step <= training.step <= start.until
    return in_range and actual == _expected_shapes(training, task, start.state) and _is_consistent(training)


def _expected_shapes(
        training: StoredTraining, task: Task, state: State) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """The shapes and types of the tensors of a training."""

    rows, stored, optimizer = len(training.starts), training.tensors, task.training.optimizer
    tensors = {'weights': state.weights, **{f'buffers/{name}': tensor for name, tensor in state.buffers.items()},
               **{f'optimizer/{name}': state.weights for name in state_vectors(optimizer)}}
    shapes = {name: ((rows, *tensor.shape[1:]), tensor.dtype) for name, tensor in tensors.items()}
    measurements, steps = _length(stored, 'history', 1), _length(stored, 'losses', 1)
    if optimizer.name != 'sgd':  # its count of steps has one element or several, depending on the engine
        shapes['optimizer/step'] = ((max(1, _length(stored, 'optimizer/step', 0)),), torch.float32)
    if state.wiring:
        events = rows, _length(stored, 'wiring/events', 1), len(EVENT_COLUMNS)
        shapes |= {f'wiring/{name}': ((rows, *state.wiring.mask.shape[1:]), torch.bool) for name in ('mask', 'ever')}
        shapes['wiring/events'] = (events, torch.int64)
    return shapes | {
        **_expected_watched(stored, task, rows, measurements),
        'history': ((rows, measurements, 7), torch.float64), 'has_train': ((measurements,), torch.bool),
        'losses': ((rows, steps), torch.float32), 'correct': ((rows, steps), torch.int64)}


def _watched_tensors(state: State) -> dict[str, Tensor]:
    """What a watch has seen: its recent masks (R, n, P), and for each measurement and density the numbers of
    differing weights (R, M, D, 4), −1 where there was no earlier mask. Empty without a watch.
    """

    if state.recent is None:
        return {}
    differing = torch.full((len(state.recent), len(state.history), *_watched_shape(state)), -1, dtype=torch.int64)
    for index, measured in enumerate(state.history):
        for row, densities in enumerate(measured.differing or ()):
            for density, numbers in enumerate(densities):
                differing[row, index, density, :len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
    return {'recent': state.recent, 'differing': differing}


def _watched_shape(state: State) -> tuple[int, int]:
    """The number of densities, and of earlier masks with which each is compared."""

    seen = [measured.differing[0] for measured in state.history if measured.differing]
    return len(seen[0]) if seen else 0, WATCHED


def _expected_watched(
        stored: dict[str, Tensor], task: Task, rows: int, measurements: int,
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    if task.watch is None:
        return {}
    masks, densities = min(WATCHED, max(1, _length(stored, 'recent', 1))), _length(stored, 'differing', 2)
    if densities:
        densities = task.watch.densities
    return {'recent': ((rows, masks, task.network.layout.prunable_count), torch.uint8),
            'differing': ((rows, measurements, densities, WATCHED), torch.int64)}


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
            **{f'optimizer/{name}': tensor for name, tensor in sorted(state.optimizer.items())},
            **{f'wiring/{name}': tensor for name, tensor in (state.wiring._asdict() if state.wiring else {}).items()}}


def _numbers(measured: Measurement, row: int) -> list[float]:
    """The iteration, and loss and accuracy of each split; 0 for a measurement without training."""

    numbers = [float(measured.iteration)]
    for metrics in (measured.train, measured.validation, measured.test):
        numbers += [metrics.loss[row], metrics.accuracy[row]] if metrics else [0., 0.]
    return numbers


def _snapshot(tensors: dict[str, Tensor], step: int, engine: str) -> Snapshot:
    parts: dict[str, dict[str, Tensor]] = {'buffers': {}, 'optimizer': {}, 'wiring': {}}
    for name, tensor in tensors.items():
        kind, slash, rest = name.partition('/')
        if slash:
            parts[kind][rest] = tensor
    history = tuple(_measurement(tensors['history'][:, index].T.tolist(), has_train=has_train)
                    for index, has_train in enumerate(tensors['has_train'].tolist()))
    if 'differing' in tensors:
        history = tuple(measured._replace(differing=_differing(numbers.tolist())) for measured, numbers
                        in zip(history, tensors['differing'].unbind(1), strict=True))
    wiring = Wiring(**parts['wiring']) if parts['wiring'] else None
    state = State(
        tensors['weights'], parts['buffers'], step, parts['optimizer'], history, engine, tensors.get('recent'), wiring)
    return Snapshot(state, tensors['losses'], tensors['correct'])


def _measurement(columns: list[list[float]], *, has_train: bool) -> Measurement:
    """The measurement with these seven columns of one number for each replicate."""

    pairs = [Metrics(tuple(columns[index]), tuple(columns[index + 1])) for index in (1, 3, 5)]
    return Measurement(int(columns[0][0]), pairs[0] if has_train else None, pairs[1], pairs[2])


def _differing(numbers: list[list[list[int]]]) -> Differing | None:
    """The numbers of differing weights of a measurement; None if none was watched."""

    if not numbers[0]:
        return None
    return tuple(tuple(tuple(number for number in row if number >= 0) for row in densities) for densities in numbers)
