"""What the engine calls: training steps, evaluation, and the transposition of images."""
# numba compiles loops over indices best.
# pylint: disable=consider-using-enumerate
from typing import Any

import numpy as np

from lth.training.engines.sparse_cpu.kernels import convolutions, dense, optimizers
from lth.training.engines.sparse_cpu.kernels.compiler import compiled
from lth.training.engines.sparse_cpu.kernels.data import (
    SGD, Batches, ChunkedImages, Images, Network, Parameters, Results, Update, Workspace)
from lth.training.engines.sparse_cpu.kernels.lanes import LANES
from lth.training.engines.sparse_cpu.kernels.shuffles import BLOCK, transpose_block


@compiled
def train(  # pylint: disable=too-many-positional-arguments # all that a step reads and writes
        network: Network, workspace: Workspace, parameters: Parameters, images: Images, batches: Batches,
        update: Update, results: Results) -> None:
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
        results.losses[index], results.correct[index] = loss / batches.size, correct
        if update.kind == SGD:
            optimizers.sgd(parameters, update, index)
        else:
            optimizers.adam(parameters, update, index)


@compiled
def evaluate(network: Network, workspace: Workspace, weights: Any, images: ChunkedImages) -> tuple[float, int]:
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
def forward(network: Network, workspace: Workspace, transposed: Any, weights: Any) -> None:
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
