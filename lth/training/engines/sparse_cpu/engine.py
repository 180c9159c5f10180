"""The sparse engine: trains and measures the weights that a ticket has, and no others, on the CPU.

A ticket of dense layers with 5% of the weights costs about 5% of the training, one with convolutions a quarter to a
fifth. Which rounds are trained so is a fixed rule, `pays` or `convolutions_pay`, never a timing, so that runs repeat.
All else is the plain engine's: rounds that are too dense, learned scores, pruned weights that are not 0, and networks
that are not a chain of convolutions and dense layers with ReLU between them.
"""
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth.datasets import Split, sampling
from lth.errors import LthError
from lth.models.flat_parameters import Slot
from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines.eager import Eager
from lth.training.engines.optimizers import state_vectors
from lth.training.engines.sparse_cpu import kernels
from lth.training.engines.sparse_cpu.conv_layout import wired
from lth.training.engines.sparse_cpu.dense_layout import Averages, Wiring, bytes_of, room_for
from lth.training.engines.sparse_cpu.kernels import LANES, SIDE, Pictures, Room, Vectors
from lth.training.engines.sparse_cpu.rule import faster, sparse_obstacle
from lth.training.engines.sparse_cpu.supported import Chain, DenseLayer, supported_chain
from lth.training.task import Metrics, Parametrization, Segment, State, Task

_Rows = NDArray[np.int64]
_Floats = NDArray[np.float32]
# Weights times chunks of 64 pictures that one call works on: about 0.2 s, so that Ctrl-C is heard soon.
_WORK = 30_000_000
# Sets of pictures to be measured on that are kept turned: validation and test.
_REMEMBERED = 2


class SparseCpu:
    """Surviving weights in compiled loops where that pays, or `always` where it is possible; the plain engine for all
    else.
    """

    def __init__(self, device: torch.device, *, always: bool = False) -> None:
        self.device = device
        self.name = 'sparse' if always else 'eager or sparse'
        self._always = always
        self._plain = Eager(device)
        self._pictures: list[tuple[Split, Pictures]] = []
        self._measured: list[_Shown] = []

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Trains from the state, yielding at each stop."""

        layers = None if parametrization else self._layers(task, state.weights, trainable)
        # What is not trained takes no part here, so it must be 0.
        if layers is None or bool(state.weights[~trainable].any()):
            yield from self._plain.run(
                task, state, trainable=trainable, stops=stops, parametrization=parametrization)
            return
        pictures = self._bytes(task, task.data.train)
        trainings = [_Training(task, state, replicate, _opened(task, layers, alive, state.weights[replicate]), pictures)
                     for replicate, alive in enumerate(trainable)]
        for stop in stops:
            told = [training.advanced(stop) for training in trainings]
            state = _together(task, state, trainings, stop)
            losses, correct = (torch.stack(parts) for parts in zip(*told, strict=True))
            networks = [training.network for training in trainings]
            token = [network._replace(weights=network.weights.copy()) for network in networks]
            yield Segment(state, losses, correct, token)

    def evaluate(self, task: Task, state: State, pictures: Sequence[Tensor] | None, token: object = None, /) -> Metrics:
        """The replicates' scores on training-set pictures, or on the test set if None."""

        opened = cast(list[_Open], token) if token else self._networks(task, state.weights)
        if opened is None:
            return self._plain.evaluate(task, state, pictures)
        split = task.data.test if pictures is None else task.data.train
        rows = [_scored(network, self._shown(task, split, pictures[replicate] if pictures else None))
                for replicate, network in enumerate(opened)]
        return Metrics(*zip(*rows, strict=True))

    def expects(self, network: Network, kept: int, batch_size: int) -> bool:
        """Whether a network with so many prunable weights left, as many of each layer, would be for the compiled loops.
        A guess, since layers keep different shares, that decides only whether to compile beforehand.
        """

        layers, density = supported_chain(network), network.layout.density(kept)
        return layers is not None and self._takes(
            [round(density * layer.weight.size) for layer in layers.layers], layers, batch_size)

    def _takes(self, kept: Sequence[int], layers: Chain, batch_size: int) -> bool:
        """Whether a chain of which each layer keeps so many weights is for here."""

        if self._always:
            return True
        return faster(kept, layers, batch_size)

    def _layers(self, task: Task, weights: Tensor, alive: Tensor) -> Chain | None:
        """The layers of a task if what is alive (R, N) is for here."""

        layers = supported_chain(task.network)
        simple = weights.dtype == torch.float32 and isinstance(task.data.train.images, Tensor)
        if layers is None or not simple or sparse_obstacle(task.network, task.data_settings, task.training, streamed=False):
            return None
        kept = [int(alive[:, layer.weight.start:layer.weight.stop].sum(1).max()) for layer in layers.layers]
        return layers if self._takes(kept, layers, task.training.batch_size) else None

    def _networks(self, task: Task, weights: Tensor) -> 'list[_Open] | None':
        """Each replicate ready to be measured; None if not for here."""

        alive = weights != 0
        layers = self._layers(task, weights, alive)
        return [_opened(task, layers, *row) for row in zip(alive, weights, strict=True)] if layers else None

    def _bytes(self, task: Task, split: Split) -> Pictures:
        """The pictures of a split as the kernels want them, an LthError if a class is none of the network's."""

        for known, pictures in self._pictures:
            if known is split:
                return pictures
        assert isinstance(split.images, Tensor)
        labels, classes = split.labels.to(torch.int64), task.network.classes
        if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise LthError(f'{task.data_settings.name}: its classes run from {int(labels.min())} to '
                           f'{int(labels.max())}, but the network tells {classes} apart, 0 to {classes - 1}. Number '
                           'the classes of the pictures from 0, without gaps.')
        made = Pictures(bytes_of(split.images), labels.contiguous().numpy())
        self._pictures = [*self._pictures[1 - _REMEMBERED:], (split, made)]
        return made

    def _shown(self, task: Task, split: Split, chosen: Tensor | None) -> '_Shown':
        """Pictures to be measured on, turned once: the same ones are measured on again and again."""

        for known in self._measured:
            if known.split is split and known.chosen is chosen:
                return known
        pictures = self._bytes(task, split)
        numbers = np.arange(len(pictures.labels))
        # numpy refuses numbers that are none of a picture; compiled code would not.
        numbers = numbers if chosen is None else numbers[chosen.numpy()]
        rows = np.pad(numbers, (0, -len(numbers) % LANES), mode='edge')
        turned = np.empty((len(rows) // LANES, pictures.images.shape[1], LANES), dtype=np.uint8)
        kernels.turned_once(pictures.images, rows, turned)
        shown = _Shown(split, chosen, turned, pictures.labels, rows, len(numbers))
        self._measured = [*self._measured[1 - _REMEMBERED:], shown]
        return shown


class _Open(NamedTuple):
    """A network as the kernels take it: the wiring, its weights (E,), memory to work in."""

    wiring: Wiring
    weights: _Floats
    room: Room


class _Shown(NamedTuple):
    """Pictures of a split to be measured on, the last repeated up to a whole chunk."""

    split: Split
    chosen: Tensor | None
    turned: NDArray[np.uint8]
    labels: _Rows
    rows: _Rows
    size: int


class _Training:
    """One replicate in training: its surviving weights, and the optimizer's vectors of them."""

    def __init__(self, task: Task, state: State, replicate: int, network: _Open, pictures: Pictures) -> None:
        self.network = network
        self._task, self._pictures = task, pictures
        self._seed, self._pool = task.seeds[replicate], task.splits[replicate][0]
        self._step, self._trained = state.step, _steps_behind(state)
        self._order: tuple[int, _Rows] = -1, np.zeros((0, 0), dtype=np.int64)
        places = torch.from_numpy(network.wiring.places)
        kept = [state.optimizer[name][replicate][places] if state.optimizer else torch.zeros(len(places))
                for name in state_vectors(task.training.optimizer)]
        kept += [torch.zeros(0)] * (2 - len(kept))
        self._vectors = Vectors(network.weights, np.zeros_like(network.weights), *(one.numpy() for one in kept))

    def advanced(self, stop: int) -> tuple[Tensor, Tensor]:
        """Trains up to a stop: losses and right answers of each step."""

        losses = np.empty(stop - self._step, dtype=np.float32)
        correct = np.empty(stop - self._step, dtype=np.int64)
        start = self._step
        while self._step < stop:
            epoch, position = divmod(self._step, self._task.steps_per_epoch)
            at_once = max(1, _at_once(self.network) // -(-self._task.training.batch_size // LANES))
            steps = min(stop - self._step, self._task.steps_per_epoch - position, at_once)
            here = slice(self._step - start, self._step - start + steps)
            self._train(self._rows(epoch)[position:position + steps], losses[here], correct[here])
            self._task.on_step(self._step - 1, None)
        return torch.from_numpy(losses), torch.from_numpy(correct)

    def write(self, state: State, replicate: int) -> None:
        """Puts what was trained into its places of a state's tensors."""

        places = torch.from_numpy(self.network.wiring.places)
        state.weights[replicate, places] = torch.from_numpy(self._vectors.weights)
        for name, vector in zip(state_vectors(self._task.training.optimizer), (self._vectors.first, self._vectors.second)):
            state.optimizer[name][replicate, places] = torch.from_numpy(vector)
        if 'step' in state.optimizer:
            state.optimizer['step'].fill_(self._trained)

    def _train(self, rows: _Rows, losses: _Floats, correct: _Rows) -> None:
        """A step for each of these rows."""

        training, stop = self._task.training, self._step + len(rows)
        kernels.train(
            self.network.wiring.filters, self.network.wiring.matrix, self.network.room, self._vectors, self._pictures,
            rows, training.batch_size, *_rule(training), self._task.learning_rates[self._step:stop], self._trained + 1,
            losses, correct)
        self._step, self._trained = stop, self._trained + len(rows)

    def _rows(self, epoch: int) -> _Rows:
        """The pictures of each step of an epoch, the last repeated up to whole chunks: (steps, chunks · 64)."""

        if self._order[0] != epoch:
            batch = self._task.training.batch_size
            count = self._task.steps_per_epoch * batch
            order = sampling.epoch_order(self._pool, self._seed, epoch)[:count].numpy().reshape(-1, batch)
            self._order = epoch, np.pad(order, ((0, 0), (0, -batch % LANES)), mode='edge')
        return self._order[1]


def compile_kernels() -> None:
    """Compiles all kernels, or finds them compiled, by training the least network there is for a step."""

    layer = DenseLayer(Slot('weight', (1, 1), 0, 'output', prunable=True), Slot('bias', (1,), 1, 'other', prunable=False))
    network = _open(Chain([], [layer]), 1, torch.ones(2, dtype=torch.bool), torch.zeros(2), None)
    rows, nothing = np.zeros(LANES, dtype=np.int64), np.zeros(2, dtype=np.float32)
    pictures = Pictures(bytes_of(torch.zeros(1, 1, 1, 1, dtype=torch.uint8)), np.zeros(1, dtype=np.int64))
    vectors = Vectors(network.weights, nothing, nothing.copy(), nothing.copy())
    turned = np.empty((1, SIDE, LANES), dtype=np.uint8)
    kernels.train(network.wiring.filters, network.wiring.matrix, network.room, vectors, pictures, rows[None], 1,
                  kernels.ADAM, (0.9, 0.999, 1e-8, 0.), np.zeros(1), 1, nothing[:1].copy(), np.zeros(1, dtype=np.int64))
    kernels.turned_once(pictures.images, rows, turned)
    kernels.score(network.wiring.filters, network.wiring.matrix, network.room, network.weights, turned, pictures.labels,
                  rows, 1)


def _averages(task: Task) -> Averages | None:
    """What standardizes the channels, if the recipe does."""

    return (task.data.mean, task.data.std) if task.data_settings.normalization == 'standardize' else None


def _opened(task: Task, layers: Chain, alive: Tensor, weights: Tensor) -> _Open:
    """The wiring of what is alive, (N,), and its weights."""

    return _open(layers, math.prod(task.network.shape), alive, weights, _averages(task))


def _open(layers: Chain, pixels: int, alive: Tensor, weights: Tensor, averages: Averages | None) -> _Open:
    wiring = wired(layers, alive.numpy(), averages)
    kept = weights[torch.from_numpy(wiring.places)].numpy()
    return _Open(wiring, kept, room_for(wiring, pixels))


def _at_once(network: _Open) -> int:
    """How many chunks of pictures one call works on."""

    return max(1, _WORK // (network.wiring.work + 8 * len(network.room.values)))


def _scored(network: _Open, shown: _Shown) -> tuple[float, float]:
    """Mean loss and share of right answers."""

    loss, right, chunks = 0., 0, _at_once(network)
    for start in range(0, len(shown.turned), chunks):
        first, here = start * LANES, slice(start * LANES, (start + chunks) * LANES)
        more, found = kernels.score(
            network.wiring.filters, network.wiring.matrix, network.room, network.weights,
            shown.turned[start:start + chunks], shown.labels, shown.rows[here],
            min(shown.size - first, chunks * LANES))
        loss, right = loss + more, right + found
    return loss / shown.size, right / shown.size


def _steps_behind(state: State) -> int:
    """How many steps the optimizer has taken."""

    return int(state.optimizer['step'].flatten()[0]) if 'step' in state.optimizer else 0


def _rule(training: TrainingSettings) -> tuple[int, tuple[float, float, float, float]]:
    """Which optimizer the kernels take, and its settings."""

    settings = training.optimizer
    if settings.name == 'sgd':
        return kernels.SGD, (settings.momentum, float(settings.nesterov), settings.weight_decay, 0.)
    rule = kernels.ADAMW if settings.name == 'adamw' else kernels.ADAM
    return rule, (*settings.betas, settings.epsilon, settings.weight_decay)


def _together(task: Task, before: State, trainings: list[_Training], step: int) -> State:
    """The state of all replicates; what does not survive is as it was before."""

    optimizer = {name: tensor.clone() for name, tensor in before.optimizer.items()}
    if not optimizer:
        optimizer = {name: torch.zeros_like(before.weights) for name in state_vectors(task.training.optimizer)}
        if task.training.optimizer.name != 'sgd':
            # One count for each parameter, as torch has it: a vector of replicates is one parameter.
            optimizer['step'] = torch.zeros(len(task.network.layout.slots) if len(trainings) == 1 else 1)
    buffers = {name: buffer.clone() for name, buffer in before.buffers.items()}
    state = State(before.weights.clone(), buffers, step, optimizer, engine='sparse')
    for replicate, training in enumerate(trainings):
        training.write(state, replicate)
    return state
