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
from lth.training.engines.batches import Batches
from lth.training.engines.chains import DenseLayer


class _Layer(NamedTuple):
    """Views of one layer into a vector: weight (R, units, inputs), and bias (R, 1, units) if there is one."""

    weight: Tensor
    bias: Tensor | None


def make_batched_backward(layers: Sequence[DenseLayer], weights: Tensor, batches: Batches) -> Backward:
    """Return the pass through these layers, with ReLU between them, for weights (R, N) in place."""

    weights.grad = torch.zeros_like(weights)
    views, gradients = _views(layers, weights), _views(layers, weights.grad)

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = batches.batch(columns)
        inputs = [images.flatten(2)]
        logits = _outputs(views[0], inputs[0])
        for layer in views[1:]:
            inputs.append(logits.relu_())
            logits = _outputs(layer, inputs[-1])
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='none').view(labels.shape).mean(1)
        # The gradient of the mean cross-entropy with respect to the logits: (softmax - one-hot) / batch size.
        delta = logits.softmax(2)
        delta.scatter_add_(2, labels[..., None], torch.full_like(delta[..., :1], -1)).div_(labels.shape[1])
        for index, gradient in reversed(list(enumerate(gradients))):
            torch.bmm(delta.transpose(1, 2), inputs[index], out=gradient.weight)
            if gradient.bias is not None:
                torch.sum(delta, 1, keepdim=True, out=gradient.bias)
            if index:
                delta = torch.ops.aten.threshold_backward(torch.bmm(delta, views[index].weight), inputs[index], 0)
        return losses, (logits.argmax(2) == labels).sum(1)
    return Backward([weights], lambda vector: [vector], run)


def _views(layers: Sequence[DenseLayer], vector: Tensor) -> list[_Layer]:
    views = []
    for weight, bias in layers:
        view = vector[:, weight.start:weight.stop].unflatten(1, weight.shape)
        views.append(_Layer(view, vector[:, None, bias.start:bias.stop] if bias else None))
    return views


def _outputs(layer: _Layer, inputs: Tensor) -> Tensor:
    """Return a layer's outputs before ReLU: (R, B, inputs) -> (R, B, units)."""

    transposed = layer.weight.transpose(1, 2)
    return torch.bmm(inputs, transposed) if layer.bias is None else torch.baddbmm(layer.bias, inputs, transposed)
