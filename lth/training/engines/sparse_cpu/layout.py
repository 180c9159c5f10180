"""The kept weights of a chain as the kernels read them, and the memory that the kernels work in."""
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lth.training.engines.sparse_cpu import conv_layout, dense_layout
from lth.training.engines.sparse_cpu.kernels.data import Inputs, Network, Workspace
from lth.training.engines.sparse_cpu.kernels.lanes import LANES
from lth.training.engines.sparse_cpu.kernels.shuffles import BLOCK
from lth.training.engines.sparse_cpu.supported import Chain

# Mean and standard deviation of each channel.
Moments = tuple[tuple[float, ...], tuple[float, ...]]


class SparseLayout(NamedTuple):
    """Structure of a network with E kept weights, and what it costs."""

    network: Network
    indices: NDArray[np.int64]  # (E,) index of each kept weight in the network's flat vector, in the kernels' order
    values: int  # number of rows of values
    conv_deltas: int  # and of deltas of convolutions before pooling
    winners: int  # and of winners of max-pools
    work: int  # multiplications of a row by a weight, forward


def layout(chain: Chain, kept: NDArray[np.bool_], moments: Moments | None) -> SparseLayout:
    """The layout of the kept weights and biases, (N,). Images are standardized if `moments` are given."""

    masks = [dense_layout.mask_with_bias(layer, kept) for layer in chain.dense]
    connected = dense_layout.connected_units(masks)
    if chain.convolutions:
        features = conv_layout.conv_layout(chain.convolutions, kept, connected[0])
    else:
        features = conv_layout.pixels_only(connected[0])
    matrix, dense_indices = dense_layout.dense_layout(chain.dense, masks, connected, features)
    inputs = _inputs(features.pixels, features.pixel_rows, features.pixel_count, moments)
    return SparseLayout(
        Network(inputs, features.convolutions, matrix), np.concatenate([features.indices, dense_indices]),
        features.first_row + matrix.units, features.conv_deltas, features.winners, features.work + len(dense_indices))


def workspace(sparse: SparseLayout) -> Workspace:
    """Memory for a step. torch aligns it to the processor's vectors."""

    matrix, pixels = sparse.network.matrix, sparse.network.inputs.blocks.max(initial=0) + BLOCK
    values = torch.zeros(sparse.values, LANES)
    values[0] = 1
    transposed = torch.zeros(int(pixels), LANES, dtype=torch.uint8)
    deltas, scratch, conv_deltas, winners = (
        torch.zeros(rows, LANES).numpy() for rows in (matrix.units, 4, sparse.conv_deltas, sparse.winners))
    outgoing = np.zeros(len(sparse.network.convolutions.outgoing_weights), dtype=np.float32)
    return Workspace(transposed.numpy(), values.numpy(), deltas, scratch, conv_deltas, winners, outgoing)


def _inputs(pixels: NDArray[np.int64], rows: NDArray[np.int64], count: int, moments: Moments | None) -> Inputs:
    """The pixels that are read, out of `count` pixels of an image, and their rows of values."""

    blocks = np.unique(np.minimum(pixels // BLOCK * BLOCK, max(count - BLOCK, 0)))
    mean = std = np.zeros(0, dtype=np.float32)
    if moments is not None:
        mean, std = (np.array(values, dtype=np.float32) for values in moments)
        channels = pixels // (count // len(mean))
        mean, std = mean[channels], std[channels]
    return Inputs(pixels, rows, blocks, mean, std)
