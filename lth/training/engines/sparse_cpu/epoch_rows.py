"""The images of each step of an epoch, as the kernels take them; the latest epoch of each replicate is remembered."""
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lth.datasets import sampling
from lth.training.engines.sparse_cpu.images import pad_to_chunks
from lth.training.task import Task

_Key = tuple[int, int, int]


class EpochRows:
    """Rows of images by step. A mask that moves interrupts an epoch again and again, whose order takes as long as ten
    steps of a sparse network.
    """

    def __init__(self) -> None:
        self._latest: dict[int, tuple[_Key, Tensor, NDArray[np.int64]]] = {}

    def rows(self, task: Task, number: int, epoch: int) -> NDArray[np.int64]:
        """Indices of the images of each step of an epoch of replicate `number`, padded to chunks: (steps, chunks · 64).
        """

        batch, indices = task.training.batch_size, task.splits[number][0]
        key = task.seeds[number], epoch, batch
        if number in self._latest:
            known, known_indices, rows = self._latest[number]
            if known == key and known_indices is indices:
                return rows
        used = sampling.epoch_order(indices, task.seeds[number], epoch)[:task.steps_per_epoch * batch]
        rows = pad_to_chunks(used.numpy().reshape(-1, batch))
        self._latest[number] = key, indices, rows
        return rows
