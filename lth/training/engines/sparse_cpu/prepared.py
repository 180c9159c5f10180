"""A network ready for the kernels: the layout of its kept weights, the weights, and memory to work in."""
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth.models.flat_parameters import Slot
from lth.training.engines.sparse_cpu.images import image_bytes
from lth.training.engines.sparse_cpu.kernels import steps
from lth.training.engines.sparse_cpu.kernels.data import (
    ADAM, Batches, ChunkedImages, Images, Parameters, Results, Update, Workspace)
from lth.training.engines.sparse_cpu.kernels.lanes import LANES
from lth.training.engines.sparse_cpu.kernels.shuffles import BLOCK
from lth.training.engines.sparse_cpu.layout import Moments, SparseLayout, layout, workspace
from lth.training.engines.sparse_cpu.supported import Chain, DenseLayer
from lth.training.task import Task

# Multiplications of rows by weights in one call of a kernel, about 0.2 s: Ctrl-C is noticed between calls.
_WORK_PER_CALL = 30_000_000


class PreparedNetwork(NamedTuple):
    """One replicate: E kept weights, of which the layout has the indices."""

    layout: SparseLayout
    weights: NDArray[np.float32]
    workspace: Workspace

    @property
    def chunks_per_call(self) -> int:
        """Number of chunks of 64 images that one call of a kernel works on."""

        return max(1, _WORK_PER_CALL // (self.layout.work + 8 * len(self.workspace.values)))

    def evaluate(self, images: ChunkedImages) -> tuple[float, float]:
        """Mean loss and accuracy."""

        loss, correct, chunks = 0., 0, self.chunks_per_call
        for start in range(0, len(images.pixels), chunks):
            first, stop = start * LANES, (start + chunks) * LANES
            part = ChunkedImages(images.pixels[start:start + chunks], images.labels, images.rows[first:stop],
                                 min(images.size - first, chunks * LANES))
            part_loss, part_correct = steps.evaluate(self.layout.network, self.workspace, self.weights, part)
            loss, correct = loss + part_loss, correct + part_correct
        return loss / images.size, correct / images.size


def prepare(task: Task, chain: Chain, kept: Tensor, weights: Tensor) -> PreparedNetwork:
    """One replicate's network: the kept weights (N,) of its flat vector (N,)."""

    standardize = task.data_settings.normalization == 'standardize'
    return _prepare(chain, kept, weights, (task.data.mean, task.data.std) if standardize else None)


def compile_kernels() -> None:
    """Compile all kernels, or load them from the cache, by training the smallest possible network for one step."""

    weight = Slot('weight', (1, 1), 0, 'output', prunable=True)
    layer = DenseLayer(weight, Slot('bias', (1,), 1, 'other', prunable=False))
    network = _prepare(Chain([], [layer]), torch.ones(2, dtype=torch.bool), torch.zeros(2), None)
    images = Images(image_bytes(torch.zeros(1, 1, 1, 1, dtype=torch.uint8)), np.zeros(1, dtype=np.int64))
    parameters = Parameters(network.weights, *np.zeros((3, 2), dtype=np.float32))
    rows, transposed = np.zeros(LANES, dtype=np.int64), np.empty((1, BLOCK, LANES), dtype=np.uint8)
    steps.train(network.layout.network, network.workspace, parameters, images, Batches(rows[None], 1),
                Update(ADAM, (0.9, 0.999, 1e-8, 0.), np.zeros(1), 1),
                Results(np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.int64)))
    steps.transpose_chunks(images.pixels, rows, transposed)
    network.evaluate(ChunkedImages(transposed, images.labels, rows, 1))


def _prepare(chain: Chain, kept: Tensor, weights: Tensor, moments: Moments | None) -> PreparedNetwork:
    sparse = layout(chain, kept.numpy(), moments)
    return PreparedNetwork(sparse, weights[torch.from_numpy(sparse.indices)].numpy(), workspace(sparse))
