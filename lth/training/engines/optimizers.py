"""torch.optim on views into one vector, its own tensors views too: its whole state comes out and goes in as vectors."""
from dataclasses import dataclass

import torch
from torch import Tensor

from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.backward import Backward


_STATE_VECTORS = {
    'adam': ('exp_avg', 'exp_avg_sq'), 'adamw': ('exp_avg', 'exp_avg_sq'), 'sgd': ('momentum_buffer',)}


@dataclass(frozen=True)
class Optimizer:
    """A fused optimizer of torch; `state` holds its vectors (R, N) by name, and a count of steps for each parameter."""

    stepper: torch.optim.Optimizer
    state: dict[str, Tensor]

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""

        self.stepper.param_groups[0]['lr'] = rate


def state_vectors(settings: Adam | AdamW | Sgd) -> tuple[str, ...]:
    """Names of the vectors in an optimizer's state, as torch names them; SGD without momentum has none."""

    return () if isinstance(settings, Sgd) and not settings.momentum else _STATE_VECTORS[settings.name]


def make_optimizer(
        settings: Adam | AdamW | Sgd, backward: Backward, weights: Tensor, rate: float | Tensor, *, decay: float = 0.,
) -> Optimizer:
    """An optimizer at its start for the parameters of a pass, cut from `weights` (R, N).

    A tensor as `rate` can change inside a graph; `decay` is added to the settings' own.
    """

    parameters, decay = backward.parameters, settings.weight_decay + decay

    # Every tensor of the state exists from the first step, so that a graph can be captured and a state loaded in place.
    state = {name: torch.zeros_like(weights) for name in state_vectors(settings)}
    if isinstance(settings, (Adam, AdamW)):
        kind = torch.optim.Adam if isinstance(settings, Adam) else torch.optim.AdamW
        stepper: torch.optim.Optimizer = kind(
            parameters, rate, settings.betas, settings.epsilon, decay,
            fused=True, capturable=weights.is_cuda and isinstance(rate, Tensor))
        state = {'step': torch.zeros(len(parameters), device=weights.device)} | state
    else:
        stepper = torch.optim.SGD(
            parameters, rate, settings.momentum, weight_decay=decay,
            nesterov=settings.nesterov, fused=True)
    parts = {name: tensor.unbind() if name == 'step' else backward.views(tensor) for name, tensor in state.items()}
    for position, parameter in enumerate(parameters):
        stepper.state[parameter] = {name: part[position] for name, part in parts.items()}
    return Optimizer(stepper, state)
