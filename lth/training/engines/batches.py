"""The batches of an epoch: images in memory, for all replicates at once, or a stream of images, for one replicate."""
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lth.datasets import Stream, sampling
from lth.recipes.schema import DataSettings
from lth.training.task import Task


class EpochTensors(NamedTuple):
    """What the batches of an epoch are computed from, in tensors at fixed addresses, as a captured graph needs them.

    rows: the images in the order of the epoch, as indices into the training set (R, n).
    boxes, flips: how each of them is cropped (R, n, 2 or 4), and whether it is flipped (R, n).
    """

    rows: Tensor
    boxes: Tensor
    flips: Tensor

    def replicate(self, number: int) -> 'EpochTensors':
        """Views of the tensors of one replicate, R = 1."""

        part = slice(number, number + 1)
        return EpochTensors(self.rows[part], self.boxes[part], self.flips[part])


class Preprocessing(NamedTuple):
    """How stored images become the input of a network: the settings, the mean and standard deviation of each channel
    (C, 1, 1), and the size (height, width).
    """

    settings: DataSettings
    mean: Tensor
    std: Tensor
    size: tuple[int, int]

    @staticmethod
    def of(task: Task, device: torch.device) -> 'Preprocessing':
        """The preprocessing of a task's images, with its tensors on the device."""

        mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
        return Preprocessing(task.data_settings, mean, std, task.network.shape[1:])

    def crop_center(self, images: Tensor) -> Tensor:
        """Normalize the center of images, without augmentation: (..., C, H, W) -> (..., C, *size) in float32."""

        return sampling.normalize(sampling.center_crop(images, self.size), self.settings, self.mean, self.std)

    def apply(self, images: Tensor, boxes: Tensor, flips: Tensor) -> Tensor:
        """Augment and normalize images: (R, B, C, H, W), (R, B, 2 or 4), (R, B) -> (R, B, C, *size) in float32."""

        # In bf16 the rounding of coordinates would shift a crop by half a pixel.
        with torch.autocast(images.device.type, enabled=False):
            if self.settings.moves:
                augmented = sampling.augment(
                    images.flatten(0, 1), boxes.flatten(0, 1), flips.flatten(0, 1), padding=self.settings.crop,
                    size=self.size)
                images = augmented.view(*images.shape[:3], *self.size)
            return sampling.normalize(images, self.settings, self.mean, self.std)


def read_batch(
        images: Tensor, labels: Tensor, epoch: EpochTensors, preprocessing: Preprocessing, columns: Tensor,
) -> tuple[Tensor, Tensor]:
    """The batch in these columns (B,) of an epoch: images (R, B, C, H, W) in float32 and labels (R, B).

    `images` (n, C, H, W) and `labels` (n,) are the training set, on the same device. Uses tensors only, so it can be
    compiled together with the network that reads the batch.
    """

    rows, boxes, flips = (tensor.index_select(1, columns) for tensor in epoch)
    return preprocessing.apply(images[rows], boxes, flips), labels[rows]


class Batches:
    """Order, crops and flips of one epoch at a time.

    `columns` (steps, B) holds the columns of each step's batch in the epoch, or of a `part` of each batch.
    """

    def __init__(self, task: Task, dtype: torch.dtype, part: slice = slice(None)) -> None:
        device, settings = task.engine.device, task.data_settings
        self.task, self._dtype = task, dtype
        self._count = task.steps_per_epoch * task.training.batch_size
        shape = (len(task.seeds), self._count)
        boxes = torch.zeros((*shape, 2), dtype=torch.int64, device=device)
        if settings.resized_crop:
            boxes = torch.zeros((*shape, 4), device=device)
        self.epoch = EpochTensors(
            torch.zeros(shape, dtype=torch.int64, device=device), boxes,
            torch.zeros(shape, dtype=torch.bool, device=device))
        self.preprocessing = Preprocessing.of(task, device)
        self._margin = task.data.shape[1] - task.network.shape[1] + 2 * settings.crop
        self._stream: Iterator[Tensor] | None = None
        self._drawn: tuple[int, EpochTensors] | None = None
        self.columns = torch.arange(self._count, device=device).view(task.steps_per_epoch, -1)[:, part]

    def set_task(self, task: Task) -> None:
        """Draw for the seeds of another task from now on; it differs in nothing else."""

        self.task, self._drawn = task, None

    def start_epoch(self, epoch: int) -> None:
        """Draw order, crops and flips of an epoch, unless they were drawn ahead. They are the same on every device."""

        self._stream = None
        if self._drawn is None or self._drawn[0] != epoch:
            self.draw_ahead(epoch)
        assert self._drawn is not None
        for tensor, drawn in zip(self.epoch, self._drawn[1], strict=True):
            tensor.copy_(drawn, non_blocking=drawn.is_pinned())
        self._drawn = None

    def draw_ahead(self, epoch: int) -> None:
        """Draw order, crops and flips of an epoch that will be started later, while a GPU is busy with another one."""

        settings, task = self.task.data_settings, self.task
        pinned = self.epoch.rows.is_cuda
        drawn = EpochTensors(*(torch.zeros(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
                               for tensor in self.epoch))
        for row, (seed, (training, _)) in enumerate(zip(task.seeds, task.splits, strict=True)):
            drawn.rows[row].copy_(sampling.epoch_order(training, seed, epoch)[:self._count])
            if settings.moves:
                drawn.boxes[row].copy_(sampling.crop_boxes(self._count, settings, seed, epoch, margin=self._margin))
                drawn.flips[row].copy_(sampling.flips(self._count, settings, seed, epoch))
        self._drawn = epoch, drawn

    def batch(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The batch in these columns (B,) of the epoch: images (R, B, C, H, W) and labels (R, B)."""

        train = self.task.data.train
        if isinstance(train.images, Tensor):
            images, labels = read_batch(train.images, train.labels, self.epoch, self.preprocessing, columns)
        else:
            rows, boxes, flips = (tensor.index_select(1, columns) for tensor in self.epoch)
            images = self.preprocessing.apply(self._next_streamed(train.images, columns), boxes, flips)
            labels = train.labels[rows]
        return images.to(self._dtype), labels

    def _next_streamed(self, images: Stream, columns: Tensor) -> Tensor:
        """The next batch of the one replicate. The first call in an epoch starts the stream at its columns."""

        if self._stream is None:
            left = self.columns[int(columns[0]) // self.task.training.batch_size:].flatten()
            self._stream = images.batches(self.epoch.rows[0, left].cpu(), len(columns))
        return next(self._stream).to(self.epoch.rows.device)[None]
