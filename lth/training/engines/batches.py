"""The batches of an epoch: images in memory, for all replicates at once, or a stream of images, for one replicate."""
from collections.abc import Iterator

import torch
from torch import Tensor

from lth.datasets import Stream, sampling
from lth.training.task import Task


class Batches:
    """Order, crops and flips of one epoch at a time, in tensors at fixed addresses, as a captured graph needs them.

    `columns` (steps, B) holds the columns of each step's batch in the epoch.
    """

    def __init__(self, task: Task, dtype: torch.dtype) -> None:
        device, settings = task.engine.device, task.data_settings
        self._task, self._dtype = task, dtype
        self._count = task.steps_per_epoch * task.training.batch_size
        shape = (len(task.seeds), self._count)
        self._rows = torch.zeros(shape, dtype=torch.int64, device=device)
        if settings.resized_crop:
            self._boxes = torch.zeros((*shape, 4), device=device)
        else:
            self._boxes = torch.zeros((*shape, 2), dtype=torch.int64, device=device)
        self._flips = torch.zeros(shape, dtype=torch.bool, device=device)
        self._mean, self._std = (
            torch.tensor(values, device=device).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
        self._size = task.network.shape[1:]
        self._margin = task.data.shape[1] - self._size[0] + 2 * settings.crop
        self._stream: Iterator[Tensor] | None = None
        self.columns = torch.arange(self._count, device=device).view(task.steps_per_epoch, -1)

    def start_epoch(self, epoch: int) -> None:
        """Draw order, crops and flips of an epoch. They are the same on every device."""

        self._stream = None
        settings = self._task.data_settings
        for row, (seed, (training, _)) in enumerate(zip(self._task.seeds, self._task.splits, strict=True)):
            self._rows[row].copy_(sampling.epoch_order(training, seed, epoch)[:self._count])
            if settings.moves:
                self._boxes[row].copy_(sampling.crop_boxes(self._count, settings, seed, epoch, margin=self._margin))
                self._flips[row].copy_(sampling.flips(self._count, settings, seed, epoch))

    def batch(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch in these columns (B,) of the epoch: images (R, B, C, H, W) and labels (R, B)."""

        rows = self._rows.index_select(1, columns)
        train, settings = self._task.data.train, self._task.data_settings
        images = train.images[rows] if isinstance(train.images, Tensor) else self._next_streamed(train.images, columns)
        # In bf16 the rounding of coordinates would shift a crop by half a pixel.
        with torch.autocast(rows.device.type, enabled=False):
            images = self._augment(images, columns) if settings.moves else images
            images = sampling.normalize(images, settings, self._mean, self._std).to(self._dtype)
        return images, train.labels[rows]

    def _augment(self, images: Tensor, columns: Tensor) -> Tensor:
        """Crop and flip images: (R, B, C, H, W) -> (R, B, C, *size)."""

        crops, flips = (values.index_select(1, columns).flatten(0, 1) for values in (self._boxes, self._flips))
        padding = self._task.data_settings.crop
        augmented = sampling.augment(images.flatten(0, 1), crops, flips, padding=padding, size=self._size)
        return augmented.view(*images.shape[:3], *self._size)

    def _next_streamed(self, images: Stream, columns: Tensor) -> Tensor:
        """Return the next batch of the one replicate. The first call in an epoch starts the stream at its columns."""

        if self._stream is None:
            self._stream = images.batches(self._rows[0, int(columns[0]):].cpu(), len(columns))
        return next(self._stream).to(self._rows.device)[None]
