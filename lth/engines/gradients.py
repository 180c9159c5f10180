"""One backward pass of all replicates into one flat gradient."""
import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from lth.network import Buffers, Network

Backward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def backward_of(network: Network, weights: Tensor, gradient: Tensor, buffers: Buffers) -> Backward:
    """A function (R, B, C, H, W), (R, B) -> losses (R,), right answers (R,), that fills `gradient` (R, N) and updates the buffers."""

    return (_single if len(weights) == 1 else _stacked)(network, weights, gradient, buffers)


def _single(network: Network, weights: Tensor, gradient: Tensor, buffers: Buffers) -> Backward:
    """For one network, autograd accumulates right into the flat gradient."""

    module = network.bound(weights[0], gradient[0], {name: buffer[0] for name, buffer in buffers.items()})

    def backward(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        gradient.zero_()
        logits = module(images[0])
        loss = F.cross_entropy(logits.to(weights.dtype), labels[0])
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()[None], (logits.detach().argmax(1) == labels[0]).sum()[None]
    return backward


def _stacked(network: Network, weights: Tensor, gradient: Tensor, buffers: Buffers) -> Backward:
    """For several, vmap over the functional network; BatchNorm's buffers go in stacked and come back as an extra result."""

    module = copy.deepcopy(network.module).train()
    gradients, parameters = network.layout.unpack(gradient), network.layout.unpack(weights)

    def loss_of(named: Mapping[str, Tensor], state: Buffers, images: Tensor, labels: Tensor) -> tuple[Tensor, tuple[Tensor, Buffers]]:
        state = {name: buffer.clone() for name, buffer in state.items()}
        logits = functional_call(module, {**named, **state}, (images,))
        return F.cross_entropy(logits.to(weights.dtype), labels), ((logits.argmax(1) == labels).sum(), state)

    stacked = vmap(grad_and_value(loss_of, has_aux=True))

    def backward(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        named, (losses, (correct, state)) = stacked(parameters, buffers, images, labels)
        with torch.no_grad():
            for name, view in gradients.items():
                view.copy_(named[name])
            for name, buffer in buffers.items():
                buffer.copy_(state[name])
        return losses, correct
    return backward
