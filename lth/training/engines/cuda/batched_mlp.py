"""Dense layers of all replicates at once: batched matrix products that leave their gradients in one flat vector.

It is the pass that `gradients.backward_of` finds by vmap and autograd, written out: no gradient is copied, and a step
that is captured has half as many kernels to launch.
"""
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lth.training.engines.backward import Backward
from lth.training.engines.sparse_cpu.supported import DenseLayer


class _Layer(NamedTuple):
    """Weights (R, units, inputs), biases (R, 1, units) if there are any, and where their gradients go."""

    weight: Tensor
    bias: Tensor | None
    weight_gradient: Tensor
    bias_gradient: Tensor | None


def make_batched_backward(layers: Sequence[DenseLayer], weights: Tensor) -> Backward:
    """The pass through these layers, with ReLU between them, for weights (R, N) in place."""

    weights.grad = torch.zeros_like(weights)
    stacked = [_layer(layer, weights, weights.grad) for layer in layers]

    def run(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        values = [images.flatten(2)]
        for layer in stacked:
            # All but the pictures are behind a ReLU.
            values.append(_sums(layer, values[-1].relu_() if len(values) > 1 else values[-1]))
        logits = values.pop()
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='none').view(labels.shape).mean(1)
        delta = logits.softmax(2)
        delta.scatter_add_(2, labels[..., None], torch.full_like(delta[..., :1], -1)).div_(labels.shape[1])
        for place, layer in reversed(list(enumerate(stacked))):
            torch.bmm(delta.transpose(1, 2), values[place], out=layer.weight_gradient)
            if layer.bias_gradient is not None:
                torch.sum(delta, 1, keepdim=True, out=layer.bias_gradient)
            if place:
                delta = torch.ops.aten.threshold_backward(torch.bmm(delta, layer.weight), values[place], 0)
        return losses, (logits.argmax(2) == labels).sum(1)
    return Backward([weights], lambda flat: [flat], run)


def _layer(layer: DenseLayer, weights: Tensor, gradients: Tensor) -> _Layer:
    (start, stop, shape), bias = (layer.weight.start, layer.weight.stop, layer.weight.shape), layer.bias
    weight, gradient = (vector[:, start:stop].unflatten(1, shape) for vector in (weights, gradients))
    if bias is None:
        return _Layer(weight, None, gradient, None)
    return _Layer(weight, weights[:, None, bias.start:bias.stop], gradient, gradients[:, None, bias.start:bias.stop])


def _sums(layer: _Layer, values: Tensor) -> Tensor:
    """What a layer makes of (R, B, inputs): (R, B, units)."""

    turned = layer.weight.transpose(1, 2)
    return torch.bmm(values, turned) if layer.bias is None else torch.baddbmm(layer.bias, values, turned)
