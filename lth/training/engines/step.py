"""One training step of all replicates on tensors in place: the plain engine runs it, the CUDA graph captures it."""
from collections.abc import Callable

import torch
from torch import Tensor

from lth.models.network import Buffers, Network
from lth.recipes.schema import AdamW
from lth.training.engines.backward import Backward, make_backward
from lth.training.engines.batches import Batches
from lth.training.engines.cuda.packed import PackedWeights
from lth.training.engines.mask_hold import MaskHold
from lth.training.engines.optimizers import make_optimizer
from lth.training.task import Parametrization, State, Task

# How a pass is made for a network, its weights (R, N) and buffers.
Pass = Callable[[Network, Tensor, Buffers], Backward]


class TrainingStep:
    """The tensors of a span of training, and the step on them. `learned` is the vector of weights, (R, N), or what a
    parametrization makes weights of, (R, L).
    """

    def __init__(
            self, task: Task, state: State, parametrization: Parametrization | None = None, *, rate: float | Tensor,
            backward: Pass = make_backward) -> None:
        self.batches = Batches(task, state.weights.dtype)
        self.learned = state.weights.clone()
        self._buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
        self._parametrization = parametrization
        self._weights = parametrization.weights(self.learned, state.step) if parametrization else self.learned
        self._backward = backward(task.network, self._weights, self._buffers)
        stepped = self._backward
        if parametrization:
            self.learned.grad = torch.zeros_like(self.learned)
            self._flat = torch.zeros_like(self._weights) if self._weights.grad is None else self._weights.grad
            stepped = Backward([self.learned], lambda flat: [flat], stepped.run)
        settings, decay = task.training.optimizer, parametrization.decay if parametrization else 0.
        # AdamW's own decay is no part of the gradient, so what is to be one costs a pass there.
        self._added = decay if isinstance(settings, AdamW) else 0.
        self.optimizer = make_optimizer(settings, stepped, self.learned, rate, decay=decay - self._added)
        self._hold = MaskHold(self.learned)
        self._network = task.network

    def load(self, state: State, trainable: Tensor, *, fixed: bool = False) -> None:
        """Starts from a state, leaving the state's own tensors alone; what lies outside `trainable` (R, L) will keep
        its bits. Once the step is captured it is `fixed`.
        """

        self.learned.copy_(state.weights)
        for name, buffer in self._buffers.items():
            buffer.copy_(state.buffers[name])
        for name, tensor in self.optimizer.state.items():
            if state.optimizer:
                # Engines count steps for each parameter or for all.
                given = state.optimizer[name]
                tensor.copy_(given.flatten()[0] if name == 'step' else given)
            else:
                tensor.zero_()
        self._hold.begin(trainable, fixed=fixed)

    def step(self, columns: Tensor, step: int = 0) -> tuple[Tensor, Tensor]:
        """Trains on the batch in these columns (B,) of the epoch: losses (R,), right answers (R,)."""

        if self._parametrization:
            self._parametrization.weights(self.learned, step, self._weights)
        losses, correct = self._backward.run(*self.batches.at(columns))
        if self._parametrization:
            assert self.learned.grad is not None
            self._teach(self._parametrization, self.learned.grad)
            if self._added:
                self.learned.grad.add_(self.learned, alpha=self._added)
        self.optimizer.stepper.step()
        if self._parametrization:
            self._parametrization.project(self.learned)
        self._hold.restore()
        return losses, correct

    def state(self, step: int) -> State:
        """A copy of where training is."""

        optimizer = {name: tensor.clone() for name, tensor in self.optimizer.state.items()}
        buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        return State(self.learned.clone(), buffers, step, optimizer)

    def _teach(self, parametrization: Parametrization, gradient: Tensor) -> None:
        """Hands the gradient of the weights on to what is learned, into (R, L); that of what is not prunable is left
        out.
        """

        if self._weights.grad is not None:
            whole = isinstance(parametrization, PackedWeights)
            flat = self._weights.grad if whole else self._weights.grad[:, :self.learned.shape[1]]
            parametrization.gradient(self.learned, flat, gradient)
            return
        for slot, parameter in zip(self._network.layout.prunable_slots, self._backward.parameters):
            assert parameter.grad is not None
            part = self._flat[:, slot.start:slot.stop]
            if len(slot.shape) == 2 and parameter.grad.is_contiguous():
                # It lies as the vector does, so it need not be copied: 0.02 ms of LeNet's 0.15 for scores.
                part = parameter.grad.view(1, -1)
            else:
                slot.view(self._flat[0]).copy_(parameter.grad)
            parametrization.gradient(self.learned, part, gradient, slot.start)
