"""The batches of an epoch: from pictures that live on the device, for all replicates, or streamed, for one."""
from collections.abc import Iterator

import torch
from torch import Tensor

from lth.datasets import Stream, sampling
from lth.training.task import Task


class Batches:
    """Order, places and flips of one epoch at a time, in tensors that stay in place: what a captured graph reads."""

    def __init__(self, task: Task, dtype: torch.dtype) -> None:
        device, settings = task.engine.device, task.data_settings
        self._task, self._dtype = task, dtype
        self._count = task.steps_per_epoch * task.training.batch_size
        shape = (len(task.seeds), self._count)
        self._rows = torch.zeros(shape, dtype=torch.int64, device=device)
        self._places = torch.zeros((*shape, 4 if settings.resized_crop else 2), device=device)
        self._places = self._places if settings.resized_crop else self._places.to(torch.int64)
        self._flips = torch.zeros(shape, dtype=torch.bool, device=device)
        self._averages = [
            torch.tensor(values, device=device).view(-1, 1, 1) for values in (task.data.mean, task.data.std)]
        self._shown = task.network.shape[1:]
        self._room = task.data.shape[1] - self._shown[0] + 2 * settings.crop
        self._moving = settings.moves
        self._stream: Iterator[Tensor] | None = None
        self.columns = torch.arange(self._count, device=device).view(task.steps_per_epoch, -1)

    def begin(self, epoch: int) -> None:
        """Draws an epoch, alike on every device."""

        self._stream = None
        settings = self._task.data_settings
        for row, (seed, (training, _)) in enumerate(zip(self._task.seeds, self._task.splits, strict=True)):
            self._rows[row].copy_(sampling.epoch_order(training, seed, epoch)[:self._count])
            if self._moving:
                self._places[row].copy_(sampling.crop_boxes(self._count, settings, seed, epoch, margin=self._room))
                self._flips[row].copy_(sampling.flips(self._count, settings, seed, epoch))

    def at(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The batch in these columns of the epoch, (B,): pictures (R, B, C, H, W) and classes (R, B)."""

        rows = self._rows.index_select(1, columns)
        train = self._task.data.train
        images = train.images[rows] if isinstance(train.images, Tensor) else self._streamed(train.images, columns)
        # Rounded to bf16, a crop would lie half a pixel off.
        with torch.autocast(rows.device.type, enabled=False):
            images = self._moved(images, columns) if self._moving else images
            pictures = sampling.normalize(images, self._task.data_settings, *self._averages).to(self._dtype)
        return pictures, train.labels[rows]

    def _moved(self, images: Tensor, columns: Tensor) -> Tensor:
        """Pictures cut and mirrored: (R, B, C, H, W) -> (R, B, C, *shown)."""

        places, flips = self._places.index_select(1, columns), self._flips.index_select(1, columns)
        moved = sampling.augment(
            images.flatten(0, 1), places.flatten(0, 1), flips.flatten(0, 1), padding=self._task.data_settings.crop,
            size=self._shown)
        return moved.view(*images.shape[:3], *self._shown)

    def _streamed(self, images: Stream, columns: Tensor) -> Tensor:
        """The next batch of the one replicate; the first that is asked for in an epoch tells where to begin."""

        if self._stream is None:
            self._stream = images.batches(self._rows[0, int(columns[0]):].cpu(), len(columns))
        return next(self._stream).to(self._rows.device)[None]
