"""The gradient of one batch with respect to all weights of a chain of dense layers, by plain matrix products.

Autograd would build a module first: it takes three times as long on LeNet-300-100.
"""
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lth.datasets import sampling
from lth.training.engines.batches import Preprocessing
from lth.training.engines.chains import DenseLayer
from lth.training.state import BatchGradient, State
from lth.training.task import Task


def dense_gradient(
        task: Task, layers: list[DenseLayer], state: State, rows: list[NDArray[np.int64]]) -> BatchGradient:
    """The gradient for the batch of each replicate: rows (B,) of images in the training set."""

    images, preprocessing = task.data.train.images, Preprocessing.of(task, state.weights.device)
    assert isinstance(images, Tensor)
    gradient = torch.zeros_like(state.weights)
    results = []
    for weights, out, indices in zip(state.weights, gradient, map(torch.from_numpy, rows), strict=True):
        batch = sampling.normalize(images[indices], preprocessing.settings, preprocessing.mean, preprocessing.std)
        results.append(_write_gradient(layers, weights, out, batch.flatten(1), task.data.train.labels[indices]))
    losses, correct = map(torch.stack, zip(*results, strict=True))
    return BatchGradient(gradient[:, :task.network.layout.prunable_count], losses, correct, state.buffers)


def _write_gradient(
        layers: list[DenseLayer], weights: Tensor, gradient: Tensor, values: Tensor, labels: Tensor,
) -> tuple[Tensor, Tensor]:
    """Write the gradients of all weight tensors into a vector (N,); the loss and the number of correct predictions."""

    inputs: list[Tensor] = []
    for layer in layers:
        inputs.append(values.relu() if inputs else values)
        bias = weights[layer.bias.start:layer.bias.stop] if layer.bias else None
        values = F.linear(inputs[-1], layer.weight.view(weights), bias)
    loss, correct = F.cross_entropy(values, labels), (values.argmax(1) == labels).sum()
    delta = (values.softmax(1) - F.one_hot(labels, values.shape[1])) / len(labels)
    for number in reversed(range(len(layers))):
        weight = layers[number].weight
        torch.mm(delta.T, inputs[number], out=weight.view(gradient))
        if number:
            delta = (delta @ weight.view(weights)) * (inputs[number] > 0)
    return loss, correct
