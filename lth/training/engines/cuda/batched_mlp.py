"""Dense layers of all replicates at once: batched matrix products.

This is the pass that `backward.make_backward` makes by vmap and autograd, written out: a captured step has half as many
kernels. With torch's optimizers the gradients are written into one flat vector. A compiled pass leaves them where the
compiler wants them, and the fused optimizer reads them there.
"""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lth.training.engines.backward import Backward
from lth.training.engines.batches import Batches, EpochTensors, Preprocessing, read_batch
from lth.training.engines.chains import DenseLayer


class _Layer(NamedTuple):
    """Views of one layer into a vector: weight (R, units, inputs), and bias (R, 1, units) if there is one."""

    weight: Tensor
    bias: Tensor | None


# Losses (R,), numbers of correct predictions (R,), and the gradients of the layers' weights and biases.
Result = tuple[Tensor, Tensor, list[_Layer]]
BatchPass = Callable[[list[_Layer], Tensor, Tensor, EpochTensors, Preprocessing, Tensor], Result]


def make_batched_backward(layers: Sequence[DenseLayer], weights: Tensor, batches: Batches) -> Backward:
    """The pass through these layers, with ReLU between them, for weights (R, N) in place."""

    weights.grad = torch.zeros_like(weights)
    views, gradients = _views(layers, weights), _views(layers, weights.grad)

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        losses, correct, _ = run_products(views, *batches.batch(columns), out=gradients)
        return losses, correct
    return Backward([weights], lambda vector: [vector], run)


def make_compiled_products(
        layers: Sequence[DenseLayer], weights: Tensor, batches: Batches, run_pass: BatchPass) -> Backward:
    """The same pass with a parameter for each layer's weight and bias, for an optimizer that reads their
    gradients wherever they are. `run_pass` is `run_batch`, compiled.
    """

    images, labels = batches.task.data.train
    assert isinstance(images, Tensor), 'streamed images are not captured'
    views = _views(layers, weights)
    parameters = _in_order_of_slots(layers, views)

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        losses, correct, gradients = run_pass(
            views, images, labels, batches.epoch, batches.preprocessing, columns)
        for parameter, gradient in zip(parameters, _in_order_of_slots(layers, gradients), strict=True):
            parameter.grad = gradient
        return losses, correct
    return Backward(parameters, lambda vector: _in_order_of_slots(layers, _views(layers, vector)), run)


def run_batch(
        layers: list[_Layer], images: Tensor, labels: Tensor, epoch: EpochTensors, preprocessing: Preprocessing,
        columns: Tensor) -> Result:
    """The pass of the batch in these columns (B,) of an epoch; the arguments are those of `read_batch`."""

    return run_products(layers, *read_batch(images, labels, epoch, preprocessing, columns))


def run_products(layers: list[_Layer], images: Tensor, labels: Tensor, *, out: list[_Layer] | None = None) -> Result:
    """Losses, correct predictions and gradients for images (R, B, C, H, W) and labels (R, B).

    The gradients are written into `out` if it is given.
    """

    inputs = [images.flatten(2)]
    logits = _outputs(layers[0], inputs[0])
    for layer in layers[1:]:
        inputs.append(logits.relu_())
        logits = _outputs(layer, inputs[-1])
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='none').view(labels.shape).mean(1)
    # The gradient of the mean cross-entropy with respect to the logits: (softmax - one-hot) / batch size.
    delta = logits.softmax(2)
    delta.scatter_add_(2, labels[..., None], torch.full_like(delta[..., :1], -1)).div_(labels.shape[1])
    gradients: list[_Layer] = []
    for index in reversed(range(len(layers))):
        gradients.insert(0, _gradients(delta, inputs[index], layers[index], out[index] if out else None))
        if index:
            delta = torch.ops.aten.threshold_backward(torch.bmm(delta, layers[index].weight), inputs[index], 0)
    return losses, (logits.argmax(2) == labels).sum(1), gradients


def _gradients(delta: Tensor, inputs: Tensor, layer: _Layer, out: _Layer | None) -> _Layer:
    """The gradients of a layer for those of its outputs (R, B, units) and its inputs (R, B, inputs)."""

    if out is None:
        bias = None if layer.bias is None else delta.sum(1, keepdim=True)
        return _Layer(torch.bmm(delta.transpose(1, 2), inputs), bias)
    torch.bmm(delta.transpose(1, 2), inputs, out=out.weight)
    if out.bias is not None:
        torch.sum(delta, 1, keepdim=True, out=out.bias)
    return out


def _views(layers: Sequence[DenseLayer], vector: Tensor) -> list[_Layer]:
    views = []
    for weight, bias in layers:
        view = vector[:, weight.start:weight.stop].unflatten(1, weight.shape)
        views.append(_Layer(view, vector[:, None, bias.start:bias.stop] if bias else None))
    return views


def _in_order_of_slots(layers: Sequence[DenseLayer], tensors: Sequence[_Layer]) -> list[Tensor]:
    """The tensors of all weights and biases in the order in which the vector holds them."""

    starts = dict[int, Tensor]()
    for layer, tensor in zip(layers, tensors, strict=True):
        starts[layer.weight.start] = tensor.weight
        if layer.bias is not None and tensor.bias is not None:
            starts[layer.bias.start] = tensor.bias
    return [starts[start] for start in sorted(starts)]


def _outputs(layer: _Layer, inputs: Tensor) -> Tensor:
    """A layer's outputs before ReLU: (R, B, inputs) -> (R, B, units)."""

    transposed = layer.weight.transpose(1, 2)
    return torch.bmm(inputs, transposed) if layer.bias is None else torch.baddbmm(layer.bias, inputs, transposed)
