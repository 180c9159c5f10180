"""What the engine calls: training steps with their optimizers, evaluation, and the transposition of images."""
# numba compiles loops over indices best.
# pylint: disable=consider-using-enumerate
import math
from typing import Any

import numpy as np

from lth.training.engines.sparse_cpu.kernels import convolutions, dense
from lth.training.engines.sparse_cpu.kernels.compiler import compiled
from lth.training.engines.sparse_cpu.kernels.data import (
    ADAMW, SGD, ChunkedImages, Images, Parameters, SparseNetwork, TrainingBatches, Update, Workspace)
from lth.training.engines.sparse_cpu.kernels.lanes import LANES
from lth.training.engines.sparse_cpu.kernels.shuffles import BLOCK, transpose_block


@compiled
def train(  # pylint: disable=too-many-positional-arguments # all that a step reads and writes
        network: SparseNetwork, workspace: Workspace, parameters: Parameters, images: Images, batches: TrainingBatches,
        update: Update) -> None:
    """Train one step for each batch."""

    skip = network.convolutions.weights
    dense_parameters = Parameters(parameters.weights[skip:], parameters.gradient[skip:], parameters.first[skip:],
                                  parameters.second[skip:])
    for index in range(len(batches.rows)):
        loss, correct = 0., 0
        for start in range(0, batches.size, LANES):
            rows, count = batches.rows[index, start:start + LANES], min(LANES, batches.size - start)
            transpose(images.pixels, rows, network.inputs.blocks, workspace.transposed)
            forward(network, workspace, workspace.transposed, parameters.weights)
            chunk_loss, chunk_correct = dense.cross_entropy(
                network.matrix, workspace, images.labels, rows, count, batches.size)
            loss, correct = loss + chunk_loss, correct + chunk_correct
            dense.backward(network.matrix, workspace, dense_parameters)
            convolutions.backward(network.convolutions, workspace, parameters)
        batches.losses[index], batches.correct[index] = loss / batches.size, correct
        if update.kind == SGD:
            sgd(parameters, update, index)
        else:
            adam(parameters, update, index)


@compiled
def evaluate(network: SparseNetwork, workspace: Workspace, weights: Any, images: ChunkedImages) -> tuple[float, int]:
    """The sum of the losses and the number of correct predictions."""

    loss, correct = 0., 0
    for chunk in range(len(images.pixels)):
        start = chunk * LANES
        forward(network, workspace, images.pixels[chunk], weights)
        chunk_loss, chunk_correct = dense.cross_entropy(
            network.matrix, workspace, images.labels, images.rows[start:start + LANES],
            min(LANES, images.size - start), LANES)
        loss, correct = loss + chunk_loss, correct + chunk_correct
    return loss, correct


@compiled
def transpose_chunks(pixels: Any, rows: Any, transposed: Any) -> None:
    """Transpose the images pixels[rows] in chunks of 64, into (chunks, pixels, 64)."""

    blocks = np.minimum(np.arange(0, pixels.shape[1], BLOCK), pixels.shape[1] - BLOCK)
    for chunk in range(len(transposed)):
        transpose(pixels, rows[chunk * LANES:(chunk + 1) * LANES], blocks, transposed[chunk])


@compiled
def forward(network: SparseNetwork, workspace: Workspace, transposed: Any, weights: Any) -> None:
    """Write the values of all units for 64 images, (pixels, 64)."""

    dense.read_inputs(network.inputs, workspace, transposed)
    convolutions.forward(network.convolutions, workspace, weights)
    dense.forward(network.matrix, workspace, weights[network.convolutions.weights:])


@compiled
def transpose(pixels: Any, rows: Any, blocks: Any, transposed: Any) -> None:
    """Transpose the images pixels[rows] (64,) into (pixels, 64): the squares whose first pixels are `blocks`."""

    for lane in range(0, LANES, BLOCK):
        for block in blocks:
            transpose_block(pixels, rows, lane, block, transposed)


@compiled
def adam(parameters: Parameters, update: Update, index: int) -> None:  # pylint: disable=too-many-locals # constants
    """Adam's or AdamW's update in step `index` of the update's steps, as in torch.optim. Leaves a gradient of 0."""

    weights, gradient, first, second = parameters
    beta1, beta2, epsilon, weight_decay = update.settings
    rate, step, decoupled = update.rates[index], update.step + index, update.kind == ADAMW
    # In double precision, rounded once: single precision costs an error of 5e-4 after 50 steps.
    step_size, correction = np.float32(rate / (1 - beta1 ** step)), np.float32(math.sqrt(1 - beta2 ** step))
    keep2, add1, add2, least = np.float32(beta2), np.float32(1 - beta1), np.float32(1 - beta2), np.float32(epsilon)
    shrink = np.float32(1 - rate * weight_decay if decoupled else 1)
    decay = np.float32(0 if decoupled else weight_decay)
    for entry in range(len(weights)):
        weight = weights[entry] * shrink
        slope = gradient[entry] + decay * weight
        first[entry] += add1 * (slope - first[entry])
        second[entry] = keep2 * second[entry] + add2 * slope * slope
        weights[entry] = weight - step_size * first[entry] / (np.sqrt(second[entry]) / correction + least)
        gradient[entry] = 0


@compiled
def sgd(parameters: Parameters, update: Update, index: int) -> None:
    """SGD's update in step `index` of the update's steps, as in torch.optim. Leaves a gradient of 0."""

    weights, gradient, momentum, _ = parameters
    keep, nesterov, decay = np.float32(update.settings[0]), update.settings[1] != 0, np.float32(update.settings[2])
    step_size = np.float32(update.rates[index])
    for entry in range(len(weights)):
        slope = gradient[entry] + decay * weights[entry]
        if len(momentum):
            momentum[entry] = keep * momentum[entry] + slope
            slope = slope + keep * momentum[entry] if nesterov else momentum[entry]
        weights[entry] -= step_size * slope
        gradient[entry] = 0
