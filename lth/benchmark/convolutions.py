"""Time of the convolutions of several replicates: one after the other, as groups of one convolution, and by the kernels
for all replicates at once.
"""
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lth import rng
from lth.errors import LthError
from lth.training.engines.cuda import convolution_kernels
from lth.training.engines.cuda.compilation import compiler_obstacle
from lth.training.engines.cuda.convolution_kernels import Tile
from lth.training.engines.devices import resolve_device

# A launch takes longer than a small convolution, so a graph of this many is timed.
_CALLS = 10
# The kernels of a tile are compiled when they are timed, about 1 s each.
TILES = (Tile(64, 4, 2), Tile(128, 4, 1), Tile(128, 4, 3), Tile(128, 8, 2))

Method = Literal['separate', 'grouped', 'stacked']
# The outputs, the gradient of the inputs or that of the weights: (R, ...), or a list of R tensors.
Result = Tensor | list[Tensor]
# Compute these three.
Calls = tuple[Callable[[], Result], Callable[[], Result], Callable[[], Result]]


class Layer(NamedTuple):
    """A convolution of square images with padding to the same size; the kernel is `size` × `size`."""

    channels: int
    units: int
    side: int
    size: int = 3
    stride: int = 1


# The layers of a ResNet-20 that take most of its time.
LAYERS = (Layer(16, 16, 32), Layer(32, 32, 16), Layer(64, 64, 8))


class Operands(NamedTuple):
    """Images (R, B, C, H, W), weights (R, O, C, k, k) and the gradient of the outputs, stored channels-last."""

    images: Tensor
    weights: Tensor
    deltas: Tensor


class ConvolutionTime(NamedTuple):
    """Times in seconds for all replicates: forward, gradient of the inputs, gradient of the weights. `tiles` are the
    fastest of the kernels for all replicates. `error` is the largest relative difference of the results from float32.
    """

    layer: Layer
    method: Method
    forward: float
    inputs: float
    weights: float
    tiles: tuple[Tile, ...]
    error: float


def time_on_gpu(name: str, *, images: int, turns: int) -> list[ConvolutionTime]:
    """Time the layers of ResNet-20 for eight replicates on the GPU of this name. LthError for a CPU, and if this
    machine cannot compile the kernels.
    """

    device = resolve_device(name)
    if device.type != 'cuda':
        raise LthError('--convolutions: kernels for several seeds run on a GPU only. Use a machine with a GPU.')
    if obstacle := compiler_obstacle(device):
        raise LthError(f'--convolutions: the kernels cannot be compiled: {obstacle}.')
    return time_convolutions(device, images=images, turns=turns)


def time_convolutions(
        device: torch.device, *, replicates: int = 8, images: int = 128, turns: int = 5,
        dtype: torch.dtype = torch.bfloat16, layers: Sequence[Layer] = LAYERS, tiles: Sequence[Tile] = TILES,
) -> list[ConvolutionTime]:
    """Time each method on each layer, on a GPU in a captured graph. A CPU needs TRITON_INTERPRET=1, for tests."""

    rows = []
    for layer in layers:
        operands = _operands(layer, replicates, images, device)
        exact = [call() for call in _separate(operands, layer)]
        operands = Operands(*(tensor.to(dtype) for tensor in operands))
        rows.append(_row(layer, 'separate', _separate(operands, layer), exact, turns))
        rows.append(_row(layer, 'grouped', _grouped(operands, layer), exact, turns))
        # Each of the three kernels has a fastest tile of its own.
        seconds = [[_seconds(call, turns) for call in _stacked(operands, layer, [tile] * 3)] for tile in tiles]
        fastest = [min(zip(column, tiles))[1] for column in zip(*seconds)]
        row = _row(layer, 'stacked', _stacked(operands, layer, fastest), exact, turns)
        rows.append(row._replace(tiles=tuple(fastest)))
    return rows


def _row(layer: Layer, method: Method, calls: Calls, exact: Sequence[Result], turns: int) -> ConvolutionTime:
    forward, inputs, weights = (_seconds(call, turns) for call in calls)
    error = max(_difference(call(), expected) for call, expected in zip(calls, exact, strict=True))
    return ConvolutionTime(layer, method, forward, inputs, weights, (), error)


def _difference(result: Result, expected: Result) -> float:
    """Norm of the difference, as a share of the expected norm."""

    first, second = (torch.stack(value) if isinstance(value, list) else value for value in (result, expected))
    return float((first.float() - second).norm() / second.norm())


def _operands(layer: Layer, replicates: int, images: int, device: torch.device) -> Operands:
    side, random = -(-layer.side // layer.stride), rng.generator(0, 'bench')
    shapes = ((replicates, images, layer.side, layer.side, layer.channels),
              (replicates, layer.units, layer.size, layer.size, layer.channels),
              (replicates, images, side, side, layer.units))
    tensors = (torch.randn(shape, generator=random).to(device).permute(0, 1, 4, 2, 3) for shape in shapes)
    return Operands(*tensors)


def _separate(operands: Operands, layer: Layer) -> Calls:
    """One convolution of torch for each replicate."""

    rows = list(zip(*operands, strict=True))
    return (
        lambda: [F.conv2d(images, weights, None, layer.stride, layer.size // 2) for images, weights, _ in rows],
        lambda: [_backward(row, layer, groups=1, of_inputs=True) for row in rows],
        lambda: [_backward(row, layer, groups=1, of_inputs=False) for row in rows])


def _grouped(operands: Operands, layer: Layer) -> Calls:
    """One convolution of torch whose groups are the replicates: (B, R × C, H, W)."""

    replicates = len(operands.images)
    images, deltas = (_join_channels(tensor) for tensor in (operands.images, operands.deltas))
    weights = operands.weights.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    joined = (images, weights, deltas)

    def split_channels(tensor: Tensor) -> Tensor:
        result: Tensor = tensor.unflatten(1, (replicates, -1))
        return result.transpose(0, 1)
    return (
        lambda: split_channels(F.conv2d(images, weights, None, layer.stride, layer.size // 2, groups=replicates)),
        lambda: split_channels(_backward(joined, layer, groups=replicates, of_inputs=True)),
        lambda: _backward(joined, layer, groups=replicates, of_inputs=False).view_as(operands.weights))


def _stacked(operands: Operands, layer: Layer, tiles: Sequence[Tile]) -> Calls:
    """One kernel for all replicates, with a tile for each of the three."""

    images, weights, deltas = operands
    size = (layer.side, layer.side)
    return (
        lambda: convolution_kernels.convolve(images, weights, layer.stride, tiles[0]),
        lambda: convolution_kernels.input_gradient(deltas, weights, size, layer.stride, tiles[1]),
        lambda: convolution_kernels.weight_gradient(deltas, images, layer.size, layer.stride, tiles[2]))


def _backward(row: tuple[Tensor, Tensor, Tensor], layer: Layer, *, groups: int, of_inputs: bool) -> Tensor:
    """The gradient of the inputs, or of the weights, by torch."""

    (images, weights, deltas), padding = row, layer.size // 2
    gradients = torch.ops.aten.convolution_backward(
        deltas, images, weights, None, [layer.stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups,
        [of_inputs, not of_inputs, False])
    result: Tensor = gradients[0] if of_inputs else gradients[1]
    return result


def _join_channels(tensor: Tensor) -> Tensor:
    """(R, B, C, H, W) -> (B, R × C, H, W), stored channels-last."""

    return tensor.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def _seconds(call: Callable[[], Result], turns: int) -> float:
    """Shortest time of a call in several turns."""

    result = call()
    if not (result[0] if isinstance(result, list) else result).is_cuda:
        return min(_elapsed(call) for _ in range(turns))
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_CALLS):
            call()

    def replay() -> None:
        graph.replay()
        torch.cuda.synchronize()
    replay()
    return min(_elapsed(replay) for _ in range(turns)) / _CALLS


def _elapsed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
