"""When the sparse engine is used: fixed rules of density, network and batch size, never a timing, so that runs repeat.

docs/performance.md has the measurements behind the constants.
"""
from collections.abc import Sequence

from lth.models.network import Network
from lth.recipes.schema import DataSettings, TrainingSettings
from lth.training.engines.chains import Chain, supported_chain
from lth.training.engines.sparse_cpu.kernels.lanes import LANES


def sparse_obstacle(network: Network, data: DataSettings, training: TrainingSettings, *, streamed: bool) -> str | None:
    """Why the sparse engine cannot train a recipe, None if it can."""

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
    per weight; the 40 are the optimizer's. A network that keeps all weights is left to the eager engine.
    """

    if sum(kept) == sum(layer.weight.size for layer in chain.layers):
        return False
    chunks = -(-batch_size // LANES)
    return (_convolutions_faster if chain.convolutions else _dense_layers_faster)(kept, chain, batch_size, chunks)


def _dense_layers_faster(kept: Sequence[int], chain: Chain, batch_size: int, chunks: int) -> bool:
    """A sparse step costs 80 per kept weight and chunk, more where the values of all units don't fit into the cache."""

    rows = chain.dense[0].weight.shape[1] + sum(layer.weight.shape[0] for layer in chain.dense)
    sparse = 80 * sum(kept) * chunks * max(1., rows / 1200)
    return sparse <= sum(layer.weight.size for layer in chain.dense) * (batch_size + 40)


def _convolutions_faster(kept: Sequence[int], chain: Chain, batch_size: int, chunks: int) -> bool:
    """A sparse step costs 128 per chunk, kept weight and output position, and as much as 8 weights per output.

    The 10 million of an eager step are the time that torch needs in addition to the products: most of LeNet-5's step
    for small batches.
    """

    sparse, dense = 0, 10_000_000
    for layer, count in zip(chain.layers, kept, strict=True):
        sparse += 128 * (count + 8 * layer.weight.shape[0]) * layer.positions * chunks
        dense += layer.weight.size * (layer.positions * batch_size + 40)
    return sparse <= dense
