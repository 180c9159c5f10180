"""When the sparse engine is used: fixed rules of density, network and batch size, never a timing, so that runs repeat.

docs/performance.md has the measurements behind the constants.
"""
from collections.abc import Sequence

from lth.models.network import Network
from lth.recipes.schema import DataSettings, TrainingSettings
from lth.training.engines.chains import Chain, supported_chain
from lth.training.engines.sparse_cpu.kernels.compiler import is_disabled
from lth.training.engines.sparse_cpu.kernels.lanes import LANES


def sparse_obstacle(network: Network, data: DataSettings, training: TrainingSettings, *, streamed: bool) -> str | None:
    """Why the sparse engine cannot train a recipe, None if it can."""

    if is_disabled():
        return 'NUMBA_DISABLE_JIT is set, so its code is not compiled'
    if supported_chain(network) is None:
        return f'{network.settings.name} is not a chain of convolutions and dense layers with ReLU between them'
    if training.precision == 'bf16':
        return 'training.precision is bf16'
    if data.moves:
        return 'the images are augmented or resized'
    return 'the images are streamed' if streamed else None


def faster(kept: Sequence[int], chain: Chain, batch_size: int) -> bool:
    """Whether a step is expected to be faster than an eager step if each layer of the chain keeps this many weights.

    The unit of cost is the time of a matrix product per weight and image. An eager step costs batch_size + 40 of them
    per weight; the 40 are the optimizer's. Loops that are faster with all weights are faster with any number of them.
    """

    chunks = -(-batch_size // LANES)
    if not chain.convolutions:
        return _dense_layers_faster(kept, chain, batch_size, chunks)
    return _convolutions_faster(kept, chain, batch_size, chunks) or _all_convolutions_faster(chain, batch_size, chunks)


def _dense_layers_faster(kept: Sequence[int], chain: Chain, batch_size: int, chunks: int) -> bool:
    """A sparse step costs 80 per kept weight and chunk, more where the values of all units don't fit into the cache."""

    rows = chain.dense[0].weight.shape[1] + sum(layer.weight.shape[0] for layer in chain.dense)
    sparse = 80 * sum(kept) * chunks * max(1., rows / 1200)
    return sparse <= sum(layer.weight.size for layer in chain.dense) * (batch_size + 40)


def _convolutions_faster(kept: Sequence[int], chain: Chain, batch_size: int, chunks: int) -> bool:
    """Whether the sparse step is cheaper than the products of all weights, plus 10 million for the time that torch
    needs in addition: most of LeNet-5's step for small batches.
    """

    dense = sum(layer.weight.size * (layer.positions * batch_size + 40) for layer in chain.layers)
    return _convolution_step(kept, chain, chunks) <= dense + 10_000_000


def _all_convolutions_faster(chain: Chain, batch_size: int, chunks: int) -> bool:
    """The same if all weights are kept. An eager convolution takes as long as if it had at least 16 input channels,
    those of a vector of the processor: LeNet-5's first one, of 1 channel, is most of its step.
    """

    dense = 10_000_000
    for layer in chain.layers:
        inputs = layer.weight.shape[1]
        dense += layer.weight.size * layer.positions * batch_size * max(inputs, 16) // inputs + 40 * layer.weight.size
    return _convolution_step([layer.weight.size for layer in chain.layers], chain, chunks) <= dense


def _convolution_step(kept: Sequence[int], chain: Chain, chunks: int) -> int:
    """A sparse step costs 128 per chunk, kept weight and output position, and as much as 8 weights per output."""

    outputs = ((count + 8 * layer.weight.shape[0]) * layer.positions
               for layer, count in zip(chain.layers, kept, strict=True))
    return 128 * chunks * sum(outputs)
