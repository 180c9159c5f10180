"""A network ready for the kernels: the layout of its kept weights, the weights, and memory to work in."""
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth.models.flat_parameters import Slot
from lth.training.engines.chains import Chain, DenseLayer
from lth.training.engines.sparse_cpu import conv_layout, dense_layout
from lth.training.engines.sparse_cpu.images import image_bytes
from lth.training.engines.sparse_cpu.kernels import steps
from lth.training.engines.sparse_cpu.kernels.data import (
    ADAM, ChunkedImages, Images, Inputs, Parameters, SparseNetwork, TrainingBatches, Update, Workspace)
from lth.training.engines.sparse_cpu.kernels.lanes import LANES
from lth.training.engines.sparse_cpu.kernels.shuffles import BLOCK
from lth.training.task import Task

# Multiplications of rows by weights in one call of a kernel, about 0.2 s: Ctrl-C is noticed between calls.
_WORK_PER_CALL = 30_000_000
# Mean and standard deviation of each channel.
_Moments = tuple[tuple[float, ...], tuple[float, ...]]


class PreparedNetwork(NamedTuple):
    """One replicate with E kept weights."""

    structure: SparseNetwork
    indices: NDArray[np.int64]  # (E,) index of each kept weight in the flat vector, in the kernels' order
    weights: NDArray[np.float32]  # (E,)
    workspace: Workspace
    work: int  # multiplications of a row by a weight, forward

    @property
    def chunks_per_call(self) -> int:
        """Number of chunks of 64 images that one call of a kernel works on."""

        return max(1, _WORK_PER_CALL // (self.work + 8 * len(self.workspace.values)))

    def evaluate(self, images: ChunkedImages) -> tuple[float, float]:
        """Mean loss and accuracy."""

        loss, correct, chunks = 0., 0, self.chunks_per_call
        for start in range(0, len(images.pixels), chunks):
            first, stop = start * LANES, (start + chunks) * LANES
            part = ChunkedImages(images.pixels[start:start + chunks], images.labels, images.rows[first:stop],
                                 min(images.size - first, chunks * LANES))
            part_loss, part_correct = steps.evaluate(self.structure, self.workspace, self.weights, part)
            loss, correct = loss + part_loss, correct + part_correct
        return loss / images.size, correct / images.size


def prepare(task: Task, chain: Chain, kept: Tensor, weights: Tensor) -> PreparedNetwork:
    """One replicate's network: the kept weights (N,) of its flat vector (N,)."""

    standardize = task.data_settings.normalization == 'standardize'
    return prepare_chain(chain, kept, weights, (task.data.mean, task.data.std) if standardize else None)


def prepare_chain(chain: Chain, kept: Tensor, weights: Tensor, moments: _Moments | None = None) -> PreparedNetwork:
    """The network of a chain. Images are standardized if `moments` are given."""

    mask = kept.numpy()
    layers = [dense_layout.kept_weights(layer, mask) for layer in chain.dense]
    connected = dense_layout.connected_units(layers)
    if chain.convolutions:
        features = conv_layout.conv_layout(chain.convolutions, mask, connected[0])
    else:
        features = conv_layout.pixels_only(connected[0])
    matrix = dense_layout.dense_matrix(layers, connected, features)
    indices = np.concatenate([features.indices, *(layer.indices for layer in layers)])
    structure = SparseNetwork(_inputs(features, moments), features.convolutions, matrix)
    return PreparedNetwork(
        structure, indices, weights[torch.from_numpy(indices)].numpy(), _workspace(structure, features),
        features.work + len(matrix.columns))


def compile_kernels() -> None:
    """Compile all kernels, or load them from the cache, by training the smallest possible network for one step."""

    weight = Slot('weight', (1, 1), 0, 'output', prunable=True)
    layer = DenseLayer(weight, Slot('bias', (1,), 1, 'other', prunable=False))
    network = prepare_chain(Chain([], [layer]), torch.ones(2, dtype=torch.bool), torch.zeros(2))
    images = Images(image_bytes(torch.zeros(1, 1, 1, 1, dtype=torch.uint8)), np.zeros(1, dtype=np.int64))
    parameters = Parameters(network.weights, *np.zeros((3, 2), dtype=np.float32))
    rows, transposed = np.zeros(LANES, dtype=np.int64), np.empty((1, BLOCK, LANES), dtype=np.uint8)
    batches = TrainingBatches(rows[None], 1, np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.int64))
    update = Update(ADAM, (0.9, 0.999, 1e-8, 0.), np.zeros(1), 1)
    steps.train(network.structure, network.workspace, parameters, images, batches, update)
    steps.transpose_chunks(images.pixels, rows, transposed)
    network.evaluate(ChunkedImages(transposed, images.labels, rows, 1))


def _workspace(structure: SparseNetwork, features: conv_layout.Features) -> Workspace:
    """Memory for a step. torch aligns it to the processor's vectors."""

    units, pixels = structure.matrix.units, int(structure.inputs.blocks.max(initial=0)) + BLOCK
    values, deltas, scratch, conv_deltas, winners = (
        torch.zeros(rows, LANES).numpy()
        for rows in (features.first_row + units, units, 4, features.conv_deltas, features.winners))
    values[0] = 1
    transposed = torch.zeros(pixels, LANES, dtype=torch.uint8).numpy()
    outgoing = np.zeros(len(structure.convolutions.outgoing_weights), dtype=np.float32)
    return Workspace(transposed, values, deltas, scratch, conv_deltas, winners, outgoing)


def _inputs(features: conv_layout.Features, moments: _Moments | None) -> Inputs:
    """The pixels that are read and their rows of values."""

    pixels, count = features.pixels, features.pixel_count
    blocks = np.unique(np.minimum(pixels // BLOCK * BLOCK, max(count - BLOCK, 0)))
    mean = std = np.zeros(0, dtype=np.float32)
    if moments is not None:
        mean, std = (np.array(values, dtype=np.float32) for values in moments)
        channels = pixels // (count // len(mean))
        mean, std = mean[channels], std[channels]
    return Inputs(pixels, features.pixel_rows, blocks, mean, std)
