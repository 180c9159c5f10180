"""What is trained, on what, how (Task); how far it is (State); what was measured on the way (Measurement)."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lth.datasets import Dataset, sampling
from lth.errors import LthError
from lth.models.network import Buffers, Network
from lth.recipes.schema import DataSettings, TrainingSettings
from lth.training.lr_schedules import Rates, learning_rates


class Metrics(NamedTuple):
    """Mean loss and share of right answers of each replicate: R numbers each."""

    loss: tuple[float, ...]
    accuracy: tuple[float, ...]


class Measurement(NamedTuple):
    """The scores at one iteration. Training scores are running ones since the measurement before; none at the start."""

    iteration: int
    train: Metrics | None
    validation: Metrics
    test: Metrics


@dataclass(frozen=True)
class State:
    """Everything that training changes; R replicates, N numbers that train. An empty `optimizer` is a fresh one;
    `engine` is the name of the one that trained it, if any did.
    """

    weights: Tensor
    buffers: Buffers
    step: int = 0
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    history: tuple[Measurement, ...] = ()
    engine: str = ''

    def to(self, device: torch.device) -> 'State':
        """The same state, living on the device."""

        buffers = {name: buffer.to(device) for name, buffer in self.buffers.items()}
        optimizer = {name: tensor.to(device) for name, tensor in self.optimizer.items()}
        return replace(self, weights=self.weights.to(device), buffers=buffers, optimizer=optimizer)


class Segment(NamedTuple):
    """What an engine yields at a stop: the state; training losses and correct predictions since the last stop,
    (R, steps); and a token that belongs to exactly these weights.

    The token is opaque. Passed to `Engine.score` with the state, it spares the engine preparing the network again.
    """

    state: State
    losses: Tensor
    correct: Tensor
    token: object = None


class Parametrization(Protocol):
    """What is learned instead of the weights themselves, such as scores: L numbers for each replicate."""

    @property
    def decay(self) -> float:
        """What is added to the optimizer's weight decay, as λ Σ p² adds 2λ: it costs no pass of its own there."""

    def weights(self, learned: Tensor, step: int, out: Tensor | None = None) -> Tensor:
        """The weights with which the network runs in a step: (R, L) -> (R, N); into `out` if given, which held such
        weights. Only what draws anew for every step, and so is never captured, looks at `step`.
        """

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """The gradient for the optimizer, from that of the loss by the n weights from `start` on: (R, L), (R, n) ->
        into the same n of (R, L).
        """

    def project(self, learned: Tensor) -> None:
        """Brings what was learned back to where it may be, in place, after each step."""


OnStep = Callable[[int, Measurement | None], None]


class Engine(Protocol):
    """How a span of steps is executed. All engines see the same batches in the same order and agree to rounding."""

    @property
    def name(self) -> str:
        """As recorded with the run."""

    @property
    def device(self) -> torch.device:
        """Where weights and pictures live."""

    def run(
            self, task: 'Task', state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Trains from the state, yielding at each stop; what lies outside `trainable` (R, N) keeps its bits. With a
        parametrization `state.weights` and `trainable` are of what is learned, (R, L).
        """

    def evaluate(
            self, task: 'Task', state: State, pictures: Sequence[Tensor] | None, token: object = None, /) -> Metrics:
        """The replicates' scores on training-set images, given by their indices, (n,) each, or on the test set if None.
        `token` is the one of the segment that yielded the state, if this engine yielded it.
        """


def ignore_step(_step: int, _measurement: Measurement | None) -> None:
    """Nobody looks on."""


@dataclass(frozen=True)
class Task:
    """What is trained, on what, how, by which engine; one replicate per seed. `division_seeds` set the validation
    pictures aside, if others than `seeds` do: a copy of a network trains on the same pictures in another order.
    """

    network: Network
    data: Dataset
    data_settings: DataSettings
    training: TrainingSettings
    seeds: tuple[int, ...]
    engine: Engine
    on_step: OnStep = ignore_step
    split_seeds: tuple[int, ...] = ()

    @cached_property
    def splits(self) -> list[tuple[Tensor, Tensor]]:
        """Each replicate's training and validation pictures, as numbers in the training set."""

        pictures = len(self.data.train.labels)
        return [sampling.split_indices(pictures, self.data_settings, seed) for seed in self.split_seeds or self.seeds]

    @cached_property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; a last, smaller one is left out, as its pictures come in other epochs."""

        return steps_per_epoch(len(self.data.train.labels), self.data_settings, self.training)

    @cached_property
    def learning_rates(self) -> Rates:
        """The learning rate of every step: (T,)."""

        return learning_rates(self.training, self.steps_per_epoch)

    @property
    def steps(self) -> int:
        """T: the iterations of one whole training."""

        return self.training.length.steps(self.steps_per_epoch)


def steps_per_epoch(pictures: int, data: DataSettings, training: TrainingSettings) -> int:
    """Whole batches in an epoch of `pictures` less those that validate, or an LthError if there is none."""

    left = sampling.training_count(pictures, data)
    if left < training.batch_size:
        raise LthError(f'batch_size: {training.batch_size} is more than the {left} training pictures of '
                       f'{data.name} ({pictures} less {data.validation} for validation). Choose a smaller batch (-b) '
                       'or fewer validation pictures (data.validation).')
    return left // training.batch_size
