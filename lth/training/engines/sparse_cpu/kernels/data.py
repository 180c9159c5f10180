"""What the kernels read and write: the network's structure, its weights, the images, and memory to work in.

Shapes: E kept weights, U units, C channels of all convolutions, S slices. Arrays are numpy arrays.
"""
from typing import Any, NamedTuple

import numpy as np

ADAM, ADAMW, SGD = range(3)


class Inputs(NamedTuple):
    """The pixels that the network reads."""

    pixels: Any  # index of each pixel that is read
    rows: Any  # row of values of each of them
    blocks: Any  # first pixels of the squares to be transposed
    mean: Any  # mean of each pixel's channel; empty if images are only scaled
    std: Any  # standard deviation of each pixel's channel; empty if images are only scaled


class Slices(NamedTuple):
    """The weights of each unit, cut into tiles: layer by layer, tile by tile and unit by unit, (S,) each.

    A tile is a range of rows that fits into the fastest cache while all units of a layer read it. Units that are not
    connected to the output have no slices.
    """

    units: Any
    starts: Any  # first weight
    stops: Any  # end of its weights
    is_first: Any  # whether it is the unit's first slice
    is_last: Any  # whether it is the unit's last slice


class Matrix(NamedTuple):
    """The kept weights of the dense layers as one sparse matrix over units, weights of a unit next to each other."""

    columns: Any  # (E,) the row of values that each weight multiplies
    slices: Slices
    units: int  # U: the outputs of the last convolution, then the units of the dense layers
    classes: int  # number of output units, which are the last ones


# One convolution. Its channels are numbered from `first` to `stop` among those of all convolutions. `height` and
# `width` are the size of its output before pooling, as far as pooling uses it. For input, output and deltas (the
# gradient of the loss by its output before pooling and ReLU): the first row, and the number of rows from one line, and
# from one channel, to the next. `delta_margin` rows lie before the first delta. `winner_row` is the first of winners.
CONVOLUTION = np.dtype([(name, np.int64) for name in (
    'first', 'stop', 'input_row', 'input_line', 'height', 'width', 'pooled', 'output_row', 'output_channel',
    'output_line', 'delta_row', 'delta_channel', 'delta_line', 'delta_margin', 'winner_row')])


class Convolutions(NamedTuple):
    """The kept weights of all convolutions, sorted by the channel that they enter."""

    layers: Any  # CONVOLUTION, one for each
    incoming: Any  # (C + 1,) where the weights that enter each channel start
    offsets: Any  # (E,) the input that each weight multiplies, in rows from the input at the kernel's first corner
    biases: Any  # (C,) index of each channel's bias among the weights, -1 if it has none
    unconnected: Any  # (C,) whether no path leads from the channel to the output
    outgoing: Any  # (C + 1,) where the weights that leave each channel start, in the next two arrays
    outgoing_offsets: Any  # the delta that each of them multiplies, in rows from the first one
    outgoing_weights: Any  # its index among the weights
    weights: int  # number of weights and biases of all convolutions, which come before the matrix's


class SparseNetwork(NamedTuple):
    """The structure of a network: what it reads, convolutions if there are any, and dense layers."""

    inputs: Inputs
    convolutions: Convolutions
    matrix: Matrix


class Workspace(NamedTuple):
    """Memory that a step writes, for 64 images."""

    transposed: Any  # the images' bytes, (pixels, 64)
    values: Any  # a row of ones, inputs, outputs of channels and units
    deltas: Any  # (U, 64) gradient of the loss by each unit
    scratch: Any  # four rows for the loss
    conv_deltas: Any  # gradient of the loss by the outputs of convolutions before pooling and ReLU
    winners: Any  # which of its four inputs each max-pool output is; 4 if none is positive
    outgoing: Any  # the weights that leave channels, in the order of Convolutions.outgoing


class Images(NamedTuple):
    """All images of a split as bytes, (n, pixels), and their labels (n,)."""

    pixels: Any
    labels: Any


class ChunkedImages(NamedTuple):
    """Images to measure on, transposed in chunks of 64, (chunks, pixels, 64)."""

    pixels: Any
    labels: Any  # of the split
    rows: Any  # (chunks · 64,) index of each image in the split; the last is repeated to fill the last chunk
    size: int  # number of images


class Parameters(NamedTuple):
    """The kept weights (E,), their gradient, and the vectors of the optimizer; empty if it has none."""

    weights: Any
    gradient: Any
    first: Any  # Adam's first moment or SGD's momentum
    second: Any  # Adam's second moment


class TrainingBatches(NamedTuple):
    """The images of each step, and what training on them writes: mean loss and number of correct predictions."""

    rows: Any  # (steps, chunks · 64) index of each image in the split; the last is repeated to fill the last chunk
    size: int  # number of images in a batch
    losses: Any  # (steps,)
    correct: Any  # (steps,)


class Update(NamedTuple):
    """How an optimizer updates the weights."""

    kind: int  # ADAM, ADAMW or SGD
    settings: tuple[float, float, float, float]  # two betas, epsilon, decay; or momentum, Nesterov (0 or 1), decay, 0
    rates: Any  # learning rate of each step
    step: int  # number of the first step, counted from 1
