"""The sparse engine: trains the weights that a ticket has, and no others, on the CPU.

A ticket with 5% of the weights costs about 5% of the training. Which rounds are trained so is a fixed rule, `pays`,
never a timing, so that runs repeat; the others, and networks that are not dense layers with ReLU, are the plain
engine's.
"""
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth.datasets import Split, sampling
from lth.engines import kernels
from lth.engines.kernels import LANES, Pictures, Vectors
from lth.engines.plain import Plain
from lth.engines.wiring import Dense, Wiring, bytes_of, chain, room_for, wired
from lth.errors import LthError
from lth.network import Network
from lth.recipe import Adam, DataSettings, Training
from lth.task import Advance, Parametrization, Score, State, Task

Wish = Literal['auto', 'sparse']
# Weights times batches of 64 that one call trains: about 0.2 s, so that Ctrl-C is heard soon.
_WORK = 40_000_000


def obstacle(network: Network, data: DataSettings, training: Training, *, streamed: bool) -> str | None:
    """What keeps a task from the sparse engine, None if nothing does."""

    if chain(network) is None:
        return f'{network.settings.name} is not a chain of dense layers with ReLU between them'
    if training.precision == 'bf16':
        return 'training.precision is bf16'
    if data.crop or data.flip or data.resized_crop or data.resolution:
        return 'the pictures are cropped or mirrored'
    return 'the pictures are streamed' if streamed else None


def pays(kept: int, weights: int, batch_size: int) -> bool:
    """Whether a step on `kept` of a network's weights is quicker here than on all of them in the plain engine."""

    return kept <= weights


class Sparse:
    """Surviving weights in compiled loops where that `pays`, or as a `wish` always where it is possible; what is not
    for it goes to the plain engine.
    """

    def __init__(self, device: torch.device, wish: Wish = 'auto') -> None:
        self.device = device
        self.name = 'sparse' if wish == 'sparse' else 'plain, or sparse where that is faster'
        self._always = wish == 'sparse'
        self._plain = Plain(device)
        self._latest: tuple[Tensor, list['_Training']] | None = None
        self._pictures: list[tuple[Split, Pictures]] = []

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Advance]:
        """Trains from the state, yielding at each stop."""

        layers = self._layers(task, state.weights)
        if parametrization or layers is None or not self._serves(task, state, trainable):
            yield from self._plain.run(
                task, state, trainable=trainable, stops=stops, parametrization=parametrization)
            return
        pictures = self._bytes(task, task.data.train)
        trainings = [_Training(task, state, replicate, layers, alive.numpy(), pictures)
                     for replicate, alive in enumerate(trainable)]
        for stop in stops:
            told = [training.advanced(stop) for training in trainings]
            state = _together(state, trainings, stop)
            self._latest = state.weights, trainings
            losses, correct = (torch.stack(parts) for parts in zip(*told, strict=True))
            yield Advance(state, losses, correct)

    def score(self, task: Task, state: State, pictures: Sequence[Tensor] | None) -> Score:
        """The replicates' scores on training-set pictures, or on the test set if None."""

        layers, alive = self._layers(task, state.weights), state.weights != 0
        if layers is None or not self._pays(task, alive):
            return self._plain.score(task, state, pictures)
        split = task.data.test if pictures is None else task.data.train
        found = self._bytes(task, split)
        rows = []
        for replicate in range(len(state.weights)):
            wiring, weights = self._wired(task, state.weights, replicate, layers)
            chosen = torch.arange(len(split.labels)) if pictures is None else pictures[replicate]
            rows.append(_scored(wiring, weights, found, chosen.numpy()))
        return Score(*zip(*rows, strict=True))

    def _layers(self, task: Task, weights: Tensor) -> list[Dense] | None:
        """The layers of a task that can be trained here, in single precision and from pictures as they are."""

        if weights.dtype != torch.float32 or not isinstance(task.data.train.images, Tensor):
            return None
        hindered = obstacle(task.network, task.data_settings, task.training, streamed=False)
        return None if hindered else chain(task.network)

    def _serves(self, task: Task, state: State, trainable: Tensor) -> bool:
        """Whether to train here: what is not trained must be 0, since it takes no part."""

        return self._pays(task, trainable) and not bool(state.weights[~trainable].any())

    def _pays(self, task: Task, alive: Tensor) -> bool:
        layout = task.network.layout
        kept = int(alive[:, :layout.weights].sum(1).max())
        return self._always or pays(kept, layout.weights, task.training.batch_size)

    def _wired(
            self, task: Task, weights: Tensor, replicate: int, layers: list[Dense]) -> tuple[Wiring, NDArray[np.float32]]:
        """The matrix and the weights of one replicate; those of the training that has just paused are at hand."""

        if self._latest and self._latest[0] is weights:
            training = self._latest[1][replicate]
            return training.wiring, training.vectors.weights
        row = weights[replicate]
        wiring = wired(layers, (row != 0).numpy(), task.data, task.data_settings)
        return wiring, row[torch.from_numpy(wiring.places)].numpy()

    def _bytes(self, task: Task, split: Split) -> Pictures:
        """The pictures of a split as the kernels want them, an LthError if a class is none of the network's."""

        for known, pictures in self._pictures:
            if known.images is split.images and known.labels is split.labels:
                return pictures
        assert isinstance(split.images, Tensor)
        labels = split.labels.to(torch.int64)
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < task.network.classes:
            raise LthError(f'{task.data_settings.name}: the classes of its pictures run from {int(labels.min())} to '
                           f'{int(labels.max())}, but the network tells {task.network.classes} apart, from 0. Number '
                           'the classes from 0, or give the model more of them.')
        pictures = Pictures(bytes_of(split.images), labels.contiguous().numpy())
        self._pictures = [*self._pictures[-1:], (split, pictures)]
        return pictures


class _Training:
    """One replicate in training: its surviving weights, and the optimizer's vectors of them."""

    def __init__(
            self, task: Task, state: State, replicate: int, layers: list[Dense], alive: NDArray[np.bool_],
            pictures: Pictures) -> None:
        self._task, self._seed, self._pictures = task, task.seeds[replicate], pictures
        self._pool = task.divisions[replicate][0]
        self.wiring = wired(layers, alive, task.data, task.data_settings)
        self._room = room_for(self.wiring.matrix, pictures.images.shape[1])
        self._step = state.step
        self._done = int(state.optimizer['step'].flatten()[0]) if 'step' in state.optimizer else 0
        self._order: tuple[int, NDArray[np.int64]] = -1, np.zeros(0, dtype=np.int64)
        places = torch.from_numpy(self.wiring.places)
        vectors = [state.optimizer.get(name) for name in _moments(task.training)]
        moments = [torch.zeros(len(places)) if one is None else one[replicate][places] for one in vectors]
        moments += [torch.zeros(0)] * (2 - len(moments))
        weights = state.weights[replicate][places]
        self.vectors = Vectors(weights.numpy(), torch.zeros(len(places)).numpy(), *(one.numpy() for one in moments))

    def advanced(self, stop: int) -> tuple[Tensor, Tensor]:
        """Trains up to a stop: losses and right answers of each step."""

        losses = np.empty(stop - self._step, dtype=np.float32)
        correct = np.empty(stop - self._step, dtype=np.int64)
        start = self._step
        while self._step < stop:
            epoch, position = divmod(self._step, self._task.steps_per_epoch)
            steps = min(stop - self._step, self._task.steps_per_epoch - position, self._at_once())
            here = slice(self._step - start, self._step - start + steps)
            self._trained(self._rows(epoch)[position:position + steps], losses[here], correct[here])
            self._step += steps
            self._task.watch(self._step - 1, None)
        return torch.from_numpy(losses), torch.from_numpy(correct)

    def write(self, state: State, replicate: int) -> None:
        """Puts what was trained into its places of a state's tensors."""

        places = torch.from_numpy(self.wiring.places)
        state.weights[replicate, places] = torch.from_numpy(self.vectors.weights)
        for name, vector in zip(_moments(self._task.training), (self.vectors.first, self.vectors.second)):
            state.optimizer[name][replicate, places] = torch.from_numpy(vector)
        if 'step' in state.optimizer:
            state.optimizer['step'].fill_(self._done)

    def _trained(self, rows: NDArray[np.int64], losses: NDArray[np.float32], correct: NDArray[np.int64]) -> None:
        training = self._task.training
        rates = self._task.learning_rates[self._step:self._step + len(rows)]
        kernels.train(
            self.wiring.matrix, self._room, self.vectors, self._pictures, rows, training.batch_size, *_rule(training),
            rates, self._done + 1, losses, correct)
        self._done += len(rows)

    def _rows(self, epoch: int) -> NDArray[np.int64]:
        """The pictures of each step of an epoch, filled up with the last to whole chunks: (steps, chunks · 64)."""

        if self._order[0] != epoch:
            batch = self._task.training.batch_size
            count = self._task.steps_per_epoch * batch
            order = sampling.order(self._pool, self._seed, epoch)[:count].numpy().reshape(-1, batch)
            self._order = epoch, np.pad(order, ((0, 0), (0, -batch % LANES)), mode='edge')
        return self._order[1]

    def _at_once(self) -> int:
        """How many steps one call trains."""

        chunks = -(-self._task.training.batch_size // LANES)
        return max(1, _WORK // (chunks * (len(self.vectors.weights) + LANES * len(self.wiring.matrix.inputs))))


def _moments(training: Training) -> list[str]:
    """The optimizer's vectors, as torch names them."""

    if training.optimizer.name == 'sgd':
        return ['momentum_buffer'] if training.optimizer.momentum else []
    return ['exp_avg', 'exp_avg_sq']


def _rule(training: Training) -> tuple[int, tuple[float, ...]]:
    """Which optimizer the kernels take, and its settings."""

    settings = training.optimizer
    if settings.name == 'sgd':
        return kernels.SGD, (settings.momentum, float(settings.nesterov), settings.weight_decay, 0.)
    return kernels.ADAM, (*settings.betas, settings.epsilon, settings.weight_decay)


def _together(before: State, trainings: list[_Training], step: int) -> State:
    """The state of all replicates; what does not survive is as it was before."""

    training, size = trainings[0]._task.training, before.weights.shape
    optimizer = {name: tensor.clone() for name, tensor in before.optimizer.items()}
    if not optimizer:
        optimizer = {name: torch.zeros(size) for name in _moments(training)}
        if training.optimizer.name != 'sgd':
            slots = len(trainings[0]._task.network.layout.slots)
            optimizer = {'step': torch.zeros(slots if len(trainings) == 1 else 1), **optimizer}
    state = replace(before, weights=before.weights.clone(), step=step, optimizer=optimizer, history=())
    for replicate, one in enumerate(trainings):
        one.write(state, replicate)
    return state


def _scored(
        wiring: Wiring, weights: NDArray[np.float32], pictures: Pictures, chosen: NDArray[np.int64]) -> tuple[float, float]:
    """Mean loss and share of right answers."""

    rows = np.pad(chosen, (0, -len(chosen) % LANES), mode='edge')
    room = room_for(wiring.matrix, pictures.images.shape[1])
    loss, right = kernels.score(wiring.matrix, room, weights, pictures, rows, len(chosen))
    return loss / len(chosen), right / len(chosen)
