"""The data types of training: the state of networks while they are trained, measurements, and parts of a training."""
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from lth.models.network import Buffers


class Metrics(NamedTuple):
    """Mean loss and accuracy, a share in [0, 1], of each replicate: R numbers each."""

    loss: tuple[float, ...]
    accuracy: tuple[float, ...]


# Masks with which a new one is compared: the published test of early birds looks at the last five.
WATCHED = 4
# For each replicate and density: the numbers of weights in which the mask differs from earlier ones, the latest first.
Differing = tuple[tuple[tuple[int, ...], ...], ...]


class Wiring(NamedTuple):
    """Which weights are active while a mask moves: the mask and the weights that were ever active, (R, P) bools, and
    one row of EVENT_COLUMNS for each event so far, (R, E, 5) int64 on the CPU.
    """

    mask: Tensor
    ever: Tensor
    events: Tensor

    def to(self, device: torch.device) -> 'Wiring':
        """The same wiring with its masks on the device."""

        return Wiring(self.mask.to(device), self.ever.to(device), self.events.cpu())


# Of an event: its iteration, the number of weights that are active after it, that it deactivated and that it activated,
# and that were ever active up to it.
EVENT_COLUMNS = ('iteration', 'active', 'dropped', 'grown', 'ever_active')


class Measurement(NamedTuple):
    """Metrics at one iteration. `train` is the mean over the steps since the last measurement; None before training.
    `differing` is None if the task watches no masks.
    """

    iteration: int
    train: Metrics | None
    validation: Metrics
    test: Metrics
    differing: 'Differing | None' = None


@dataclass(frozen=True)
class State:
    """Everything that training changes, for R replicates of N weights: weights (R, N), buffers (R, ...), the iteration
    and the optimizer's tensors by name, empty before the first step.

    `history` holds all measurements so far; `engine` is the name of the engine that trained last, '' if none did.
    `recent` are the masks at the last measurements as a Watch encodes them, (R, n, P) on the CPU; None without one. If
    a mask moves in the training, `wiring` is its present state.
    """

    weights: Tensor
    buffers: Buffers
    step: int = 0
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    history: tuple[Measurement, ...] = ()
    engine: str = ''
    recent: Tensor | None = None
    wiring: Wiring | None = None

    def to(self, device: torch.device) -> 'State':
        """The same state with all tensors on the device."""

        buffers = {name: buffer.to(device) for name, buffer in self.buffers.items()}
        optimizer = {name: tensor.to(device) for name, tensor in self.optimizer.items()}
        wiring = self.wiring and self.wiring.to(device)
        return replace(self, weights=self.weights.to(device), buffers=buffers, optimizer=optimizer, wiring=wiring)


class Segment(NamedTuple):
    """The training between two stops: the state at its end, losses and numbers of correct predictions (R, steps).

    The token is opaque and belongs to exactly this state. Passed to `Engine.evaluate` together with the state, it saves
    the engine from preparing the network again.
    """

    state: State
    losses: Tensor
    correct: Tensor
    token: object = None


class BatchGradient(NamedTuple):
    """The pass of one batch that trains nothing: the gradient of the loss with respect to all prunable weights (R, P),
    active or not, losses (R,), numbers of correct predictions (R,), and the buffers after it.
    """

    gradient: Tensor
    losses: Tensor
    correct: Tensor
    buffers: Buffers


class TrainingStart(NamedTuple):
    """What a training starts from: a state, the parameters that it may change (R, L), and the iteration of its end."""

    state: State
    trainable: Tensor
    until: int


class Snapshot(NamedTuple):
    """A training after some of its steps: the state with all measurements so far, and the losses and numbers of correct
    predictions (R, n) of the n steps since the last measurement. At an iteration to measure at, it may not be measured
    yet.
    """

    state: State
    losses: Tensor
    correct: Tensor

    @staticmethod
    def of(state: State) -> 'Snapshot':
        """The snapshot of a state that was just measured."""

        rows = len(state.weights)
        return Snapshot(state, torch.zeros(rows, 0), torch.zeros(rows, 0, dtype=torch.int64))

    def to(self, device: torch.device) -> 'Snapshot':
        """The same snapshot with all tensors on the device."""

        return Snapshot(self.state.to(device), self.losses.to(device), self.correct.to(device))

    def after(self, segment: Segment) -> 'Snapshot':
        """The snapshot at the end of the segment that follows."""

        state = replace(segment.state, history=self.state.history, recent=self.state.recent)
        if not self.losses.shape[1]:
            return Snapshot(state, segment.losses, segment.correct)
        return Snapshot(
            state, torch.cat([self.losses, segment.losses], 1), torch.cat([self.correct, segment.correct], 1))


class Pause(int):
    """A stop that is there only for checkpoints. An engine may pass it, with the steps after it in the same segment, if
    no checkpoint is due: copies of the state of a large network take a CPU a tenth of a second.
    """
