"""torch.optim on the one flat tensor of all replicates, its state as named tensors that can be taken out and put back."""
import torch
from torch import Tensor

from lth.recipe import Adam, Sgd


def optimizer_of(settings: Adam | Sgd, weights: Tensor, rate: float | Tensor) -> torch.optim.Optimizer:
    """A fused optimizer of `weights` (R, N), whose `.grad` is set, at its start; a tensor as `rate` can change inside a captured graph."""

    # Every tensor of the state exists from the first step, so that a graph can be captured and a state loaded in place.
    if isinstance(settings, Adam):
        adam = torch.optim.Adam([weights], rate, settings.betas, settings.epsilon, settings.weight_decay, fused=True, capturable=weights.is_cuda)
        adam.state[weights] = {'step': torch.zeros((), device=weights.device),
                               'exp_avg': torch.zeros_like(weights), 'exp_avg_sq': torch.zeros_like(weights)}
        return adam
    sgd = torch.optim.SGD([weights], rate, settings.momentum, weight_decay=settings.weight_decay, nesterov=settings.nesterov, fused=True)
    if settings.momentum:
        sgd.state[weights] = {'momentum_buffer': torch.zeros_like(weights)}
    return sgd


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step."""

    optimizer.param_groups[0]['lr'] = rate


def state_of(optimizer: torch.optim.Optimizer, weights: Tensor) -> dict[str, Tensor]:
    """The optimizer's own tensors, by name."""

    tensors: dict[str, Tensor] = optimizer.state[weights]
    return tensors
