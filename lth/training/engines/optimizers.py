"""Optimizers whose parameters and state are views into flat vectors, (R, N) each, and which hold masked weights."""
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.backward import Backward
from lth.training.engines.mask_hold import MaskHold

_STATE_VECTORS = {
    'adam': ('exp_avg', 'exp_avg_sq'), 'adamw': ('exp_avg', 'exp_avg_sq'), 'sgd': ('momentum_buffer',)}


class Optimizer(Protocol):
    """Updates a vector (R, N) in place from the gradients of its parameters."""

    @property
    def state(self) -> dict[str, Tensor]:
        """The vectors (R, N) of the optimizer's state by torch's names; `step` counts steps and has any shape."""

    def hold(self, trainable: Tensor, *, fixed: bool) -> None:
        """From now on keep the vector's current values outside `trainable` (R, N).

        A step that is captured once for several masks must be `fixed`.
        """

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""

    def step(self, project: Callable[[Tensor], None] | None = None) -> None:
        """Update the vector, apply `project` to it in place, and write the held values back."""

    def after_capture(self) -> None:
        """Finish what a capture of `step` could not do, before the graph is replayed for the first time."""


class TorchOptimizer:
    """A fused optimizer of torch.optim, with a `MaskHold` where weights are held."""

    def __init__(self, stepper: torch.optim.Optimizer, vector: Tensor, state: dict[str, Tensor]) -> None:
        self.stepper = stepper
        self.state = state
        self._vector = vector
        self._hold: MaskHold | None = None

    def hold(self, trainable: Tensor, *, fixed: bool) -> None:
        """From now on keep the vector's current values outside `trainable` (R, N)."""

        self._hold = self._hold or MaskHold(self._vector)
        self._hold.begin(trainable, fixed=fixed)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""

        self.stepper.param_groups[0]['lr'] = rate

    def step(self, project: Callable[[Tensor], None] | None = None) -> None:
        """Update the vector, apply `project` to it in place, and write the held values back."""

        self.stepper.step()
        if project:
            project(self._vector)
        if self._hold:
            self._hold.restore()

    def after_capture(self) -> None:
        """Do nothing: all tensors have fixed addresses."""


def state_vectors(settings: Adam | AdamW | Sgd) -> tuple[str, ...]:
    """The names of the vectors in an optimizer's state, as torch names them; SGD without momentum has none."""

    return () if isinstance(settings, Sgd) and not settings.momentum else _STATE_VECTORS[settings.name]


def make_optimizer(
        settings: Adam | AdamW | Sgd, backward: Backward, weights: Tensor, rate: float | Tensor, *, decay: float = 0.,
) -> Optimizer:
    """A new optimizer for the parameters of a pass, which are views into `weights` (R, N).

    A captured step needs a tensor as `rate`, whose value can change. `decay` is added to the settings' weight decay.
    """

    assert backward.copied is None, 'torch.optim updates no copy'
    parameters, decay = backward.parameters, settings.weight_decay + decay
    # All tensors of the state exist before the first step, so that a step can be captured and a state loaded in place.
    state = {name: torch.zeros_like(weights) for name in state_vectors(settings)}
    if isinstance(settings, Sgd):
        stepper: torch.optim.Optimizer = torch.optim.SGD(
            parameters, rate, settings.momentum, weight_decay=decay, nesterov=settings.nesterov, fused=True)
    else:
        kind = torch.optim.Adam if isinstance(settings, Adam) else torch.optim.AdamW
        capturable = weights.is_cuda and isinstance(rate, Tensor)
        stepper = kind(parameters, rate, settings.betas, settings.epsilon, decay, fused=True, capturable=capturable)
        state = {'step': torch.zeros(len(parameters), device=weights.device)} | state
    parts = {name: tensor.unbind() if name == 'step' else backward.views(tensor) for name, tensor in state.items()}
    for index, parameter in enumerate(parameters):
        stepper.state[parameter] = {name: views[index] for name, views in parts.items()}
    return TorchOptimizer(stepper, weights, state)
