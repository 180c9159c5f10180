"""Dense layers of all replicates at once: batched matrix products that write their gradients into one flat vector.

This is the pass that `backward.make_backward` makes by vmap and autograd, written out: no gradient is copied, and a
captured step has half as many kernels.
"""
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lth.training.engines.backward import Backward
from lth.training.engines.sparse_cpu.supported import DenseLayer


class _Layer(NamedTuple):
    """Views of one layer: weight (R, units, inputs), bias (R, 1, units) if there is one, and their gradients."""

    weight: Tensor
    bias: Tensor | None
    weight_gradient: Tensor
    bias_gradient: Tensor | None


def make_batched_backward(layers: Sequence[DenseLayer], weights: Tensor) -> Backward:
    """Return the pass through these layers, with ReLU between them, for weights (R, N) in place."""

    weights.grad = torch.zeros_like(weights)
    views = [_layer_views(layer, weights, weights.grad) for layer in layers]

    def run(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        inputs = [images.flatten(2)]
        logits = _outputs(views[0], inputs[0])
        for layer in views[1:]:
            inputs.append(logits.relu_())
            logits = _outputs(layer, inputs[-1])
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='none').view(labels.shape).mean(1)
        # The gradient of the mean cross-entropy with respect to the logits: (softmax - one-hot) / batch size.
        delta = logits.softmax(2)
        delta.scatter_add_(2, labels[..., None], torch.full_like(delta[..., :1], -1)).div_(labels.shape[1])
        for index, layer in reversed(list(enumerate(views))):
            torch.bmm(delta.transpose(1, 2), inputs[index], out=layer.weight_gradient)
            if layer.bias_gradient is not None:
                torch.sum(delta, 1, keepdim=True, out=layer.bias_gradient)
            if index:
                delta = torch.ops.aten.threshold_backward(torch.bmm(delta, layer.weight), inputs[index], 0)
        return losses, (logits.argmax(2) == labels).sum(1)
    return Backward([weights], lambda vector: [vector], run)


def _layer_views(layer: DenseLayer, weights: Tensor, gradients: Tensor) -> _Layer:
    (start, stop, shape), bias = (layer.weight.start, layer.weight.stop, layer.weight.shape), layer.bias
    weight, gradient = (vector[:, start:stop].unflatten(1, shape) for vector in (weights, gradients))
    if bias is None:
        return _Layer(weight, None, gradient, None)
    return _Layer(weight, weights[:, None, bias.start:bias.stop], gradient, gradients[:, None, bias.start:bias.stop])


def _outputs(layer: _Layer, inputs: Tensor) -> Tensor:
    """Return a layer's outputs before ReLU: (R, B, inputs) -> (R, B, units)."""

    transposed = layer.weight.transpose(1, 2)
    return torch.bmm(inputs, transposed) if layer.bias is None else torch.baddbmm(layer.bias, inputs, transposed)
