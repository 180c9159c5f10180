"""Optimizers of torch.optim whose parameters and state are views into flat vectors, (R, N) each."""
from dataclasses import dataclass

import torch
from torch import Tensor

from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.backward import Backward

_STATE_VECTORS = {
    'adam': ('exp_avg', 'exp_avg_sq'), 'adamw': ('exp_avg', 'exp_avg_sq'), 'sgd': ('momentum_buffer',)}


@dataclass(frozen=True)
class Optimizer:
    """A fused optimizer of torch; `state` holds its vectors (R, N) by name, and `step`, a count for each parameter."""

    stepper: torch.optim.Optimizer
    state: dict[str, Tensor]

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""

        self.stepper.param_groups[0]['lr'] = rate


def state_vectors(settings: Adam | AdamW | Sgd) -> tuple[str, ...]:
    """Return the names of the vectors in an optimizer's state, as torch names them; SGD without momentum has none."""

    return () if isinstance(settings, Sgd) and not settings.momentum else _STATE_VECTORS[settings.name]


def make_optimizer(
        settings: Adam | AdamW | Sgd, backward: Backward, weights: Tensor, rate: float | Tensor, *, decay: float = 0.,
) -> Optimizer:
    """Return a new optimizer for the parameters of a pass, which are views into `weights` (R, N).

    A captured step needs a tensor as `rate`, whose value can change. `decay` is added to the settings' weight decay.
    """

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
    return Optimizer(stepper, state)
