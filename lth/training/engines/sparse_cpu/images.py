"""Images as the kernels read them: rows of bytes, and for evaluation also transposed in chunks of 64."""
import numpy as np
import torch
from torch import Tensor

from lth.datasets import Split
from lth.errors import LthError
from lth.training.engines.sparse_cpu.kernels import steps
from lth.training.engines.sparse_cpu.kernels.data import ChunkedImages, Images
from lth.training.engines.sparse_cpu.kernels.lanes import LANES
from lth.training.engines.sparse_cpu.kernels.shuffles import BLOCK
from lth.training.task import Task

# Number of splits, and of sets of images to evaluate on, that are kept: validation and test.
_REMEMBERED = 2


class ImageCache:
    """Images of the latest splits and chunks, since training and evaluation use the same ones again and again."""

    def __init__(self) -> None:
        self._splits: list[tuple[Split, Images]] = []
        self._chunks: list[tuple[Split, Tensor | None, ChunkedImages]] = []

    def images(self, task: Task, split: Split) -> Images:
        """All images of a split. Raises LthError if a label is not one of the network's classes."""

        for known, images in self._splits:
            if known is split:
                return images
        assert isinstance(split.images, Tensor)
        labels = split.labels.to(torch.int64)
        _refuse_unknown_classes(task, labels)
        images = Images(image_bytes(split.images), labels.contiguous().numpy())
        self._splits = [*self._splits[1 - _REMEMBERED:], (split, images)]
        return images

    def chunks(self, task: Task, split: Split, indices: Tensor | None) -> ChunkedImages:
        """The images of a split with these indices, or all, transposed."""

        for known_split, known_indices, chunks in self._chunks:
            if known_split is split and known_indices is indices:
                return chunks
        images = self.images(task, split)
        rows = np.arange(len(images.labels))
        if indices is not None:
            # numpy checks the indices; compiled code would not.
            rows = rows[indices.numpy()]
        padded = pad_to_chunks(rows)
        transposed = np.empty((len(padded) // LANES, images.pixels.shape[1], LANES), dtype=np.uint8)
        steps.transpose_chunks(images.pixels, padded, transposed)
        chunks = ChunkedImages(transposed, images.labels, padded, len(rows))
        self._chunks = [*self._chunks[1 - _REMEMBERED:], (split, indices, chunks)]
        return chunks


def image_bytes(images: Tensor) -> np.ndarray:
    """Images as rows of bytes, at least 16 wide: (n, C, H, W) -> (n, pixels)."""

    flat = images.reshape(len(images), -1)
    if flat.shape[1] < BLOCK:
        flat = torch.nn.functional.pad(flat, (0, BLOCK - flat.shape[1]))
    return flat.contiguous().numpy()


def pad_to_chunks(rows: np.ndarray) -> np.ndarray:
    """Indices of images with the last one repeated until the last dimension is a multiple of 64."""

    return np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % LANES)], mode='edge')


def _refuse_unknown_classes(task: Task, labels: Tensor) -> None:
    low, high, classes = int(labels.min()), int(labels.max()), task.network.classes
    if low < 0 or high >= classes:
        raise LthError(f'{task.data_settings.name}: labels run from {low} to {high}, but the network has {classes} '
                       f'classes, 0 to {classes - 1}. Number the classes of the data set from 0, without gaps.')
