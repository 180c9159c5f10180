"""One training step of all replicates on tensors in place: the eager engine runs it, the CUDA engine captures it."""
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lth.models.network import Buffers, Network
from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.backward import Backward, make_backward
from lth.training.engines.batches import Batches
from lth.training.engines.optimizers import Optimizer, make_optimizer
from lth.training.engines.packed import Packing
from lth.training.state import State
from lth.training.task import Parametrization, Task

# Makes the pass of a network for its weights (R, N) and buffers, as `make_backward` does.
BackwardFactory = Callable[[Network, Tensor, Buffers, Batches], Backward]


class OptimizerFactory(Protocol):
    """Makes an optimizer for the parameters of a pass, as `make_optimizer` does. If the pass reads a copy of the
    weights, the optimizer updates the copy too.
    """

    def __call__(
            self, settings: Adam | AdamW | Sgd, backward: Backward, weights: Tensor, rate: float | Tensor, *,
            decay: float = 0.) -> Optimizer:
        """A new optimizer; all arguments are those of `make_optimizer`."""


class StepParts(NamedTuple):
    """What a step is made of: the pass, the optimizer, a copy of the initial weights (R, N) that they change in place,
    and the batches. `compiles` says that the pass is compiled when it runs first. The defaults are those of the eager
    engine.
    """

    backward: BackwardFactory = make_backward
    optimizer: OptimizerFactory = make_optimizer
    copy_weights: Callable[[Tensor], Tensor] = torch.clone
    compiles: bool = False
    batches: Callable[[Task, torch.dtype], Batches] = Batches


class TrainingStep:
    """A training step and the tensors that it reads and writes.

    `learned` is the vector that the optimizer changes: the network's weights (R, N), the parameters of a
    parametrization (R, L), or with a packing only the weights that are not held (R, K). States that go in and out hold
    the weights (R, N) also with a packing.
    """

    def __init__(
            self, task: Task, state: State, *, parametrization: Parametrization | None = None,
            packing: Packing | None = None, rate: float | Tensor, parts: StepParts = StepParts()) -> None:
        self.batches = parts.batches(task, state.weights.dtype)
        self._network, self._parametrization, self._packing = task.network, parametrization, packing
        self._buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
        # The weights that the network reads: (R, N).
        self._weights = parts.copy_weights(
            parametrization.weights(state.weights, state.step) if parametrization else state.weights)
        self.learned = self._weights
        if packing or parametrization:
            self.learned = packing.pack(state.weights) if packing else state.weights.clone()
        self._backward = parts.backward(task.network, self._weights, self._buffers, self.batches)
        if self.learned is not self._weights:
            self._gradient = torch.zeros_like(self._weights) if self._weights.grad is None else self._weights.grad
        settings, decay = task.training.optimizer, parametrization.decay if parametrization else 0.
        # AdamW applies its decay to the weights, not to the gradient: the penalty's decay then needs a pass of its own.
        self._extra_decay = decay if isinstance(settings, AdamW) else 0.
        self.optimizer = parts.optimizer(
            settings, self._optimized(), self.learned, rate, decay=decay - self._extra_decay)

    def load(self, state: State, trainable: Tensor, *, fixed: bool = False) -> None:
        """Start from a state, which is copied; hold what lies outside `trainable` (R, L).

        A step that is captured once for several masks must be `fixed`.
        """

        state = self._packing.pack_state(state) if self._packing else state
        self.learned.copy_(state.weights)
        for name, buffer in self._buffers.items():
            buffer.copy_(state.buffers[name])
        for name, tensor in self.optimizer.state.items():
            if state.optimizer:
                # Some engines count the steps of each parameter, some of all together.
                saved = state.optimizer[name]
                tensor.copy_(saved.flatten()[0] if name == 'step' else saved)
            else:
                tensor.zero_()
        # All packed weights train, so none of them is held.
        if not self._packing:
            self.optimizer.hold(trainable, fixed=fixed)
        self._update_copy()

    def run(self, columns: Tensor, step: int = 0) -> tuple[Tensor, Tensor]:
        """Train on the batch in these columns (B,) of the epoch; return losses (R,) and numbers of correct predictions.

        Only parametrizations and passes with random numbers use `step`.
        """

        self._backward.draw(step)
        if self._parametrization:
            self._parametrization.weights(self.learned, step, self._weights)
        if self._packing:
            self._packing.unpack(self.learned, self._weights)
        if self.learned is not self._weights:
            self._update_copy()
        losses, correct = self._backward.run(columns)
        if self.learned is not self._weights:
            self._write_gradient()
        self.optimizer.step(self._parametrization.project if self._parametrization else None)
        return losses, correct

    def state(self, step: int) -> State:
        """A copy of the current state, at iteration `step`."""

        optimizer = {name: tensor.clone() for name, tensor in self.optimizer.state.items()}
        buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        state = State(self.learned.clone(), buffers, step, optimizer)
        return self._packing.unpack_state(state) if self._packing else state

    def _optimized(self) -> Backward:
        """The pass with the parameters that the optimizer steps: the network's, or what is learned instead."""

        if self.learned is self._weights:
            return self._backward
        self.learned.grad = torch.zeros_like(self.learned)
        return Backward([self.learned], lambda vector: [vector], self._backward.run)

    def _update_copy(self) -> None:
        """Update the copy of the weights that layers read, if they read one."""

        copied = self._backward.copied
        if copied is not None:
            copied.copy_(self._weights[:, :copied.shape[1]])

    def _write_gradient(self) -> None:
        """Compute the gradient of the learned parameters from the gradient of the weights."""

        gradient = self.learned.grad
        assert gradient is not None
        if self._packing:
            if self._weights.grad is None:
                self._copy_gradients()
            gradient.copy_(self._packing.pack(self._gradient))
        if self._parametrization:
            self._write_parameter_gradient(self._parametrization, gradient)
        if self._extra_decay:
            gradient.add_(self.learned, alpha=self._extra_decay)

    def _write_parameter_gradient(self, parametrization: Parametrization, out: Tensor) -> None:
        """Write the gradient of a parametrization into `out` (R, L), from the gradients of the prunable weights."""

        if self._weights.grad is not None:
            parametrization.gradient(self.learned, self._weights.grad[:, :self.learned.shape[1]], out)
            return
        slots, parameters = self._network.layout.prunable_slots, self._backward.parameters
        if len(self._weights) > 1:
            self._copy_gradients()
            parametrization.gradient(self.learned, self._gradient[:, :self.learned.shape[1]], out)
            return
        for slot, parameter in zip(slots, parameters):
            part = self._gradient[:, slot.start:slot.stop]
            if parameter.grad is None:
                part.zero_()  # the layer was not used
            elif len(slot.shape) == 2 and parameter.grad.is_contiguous():
                # It has the order of the vector, so no copy is needed: 0.02 ms of LeNet's 0.15 for scores.
                part = parameter.grad.view(1, -1)
            else:
                slot.view(self._gradient[0]).copy_(parameter.grad)
            parametrization.gradient(self.learned, part, out, slot.start)

    def _copy_gradients(self) -> None:
        """Write the gradients of all parameters into one vector (R, N)."""

        targets = zip(self._backward.views(self._gradient), self._backward.parameters, strict=True)
        pairs = list[tuple[Tensor, Tensor]]()
        for view, parameter in targets:
            if parameter.grad is None:
                view.zero_()  # the layer was not used
            else:
                pairs.append((view, parameter.grad))
        torch._foreach_copy_(  # pylint: disable=protected-access # has no public name
            [view for view, _ in pairs], [gradient for _, gradient in pairs])
