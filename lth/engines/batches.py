"""The batches of an epoch, for all replicates, from pictures that live on the device."""
import torch
from torch import Tensor

from lth.datasets import sampling
from lth.task import Task


class Batches:
    """Order, crops and flips of one epoch at a time, in tensors that stay in place: what a captured graph reads."""

    def __init__(self, task: Task, dtype: torch.dtype) -> None:
        device = task.engine.device
        self._task, self._dtype = task, dtype
        self._count = task.steps_per_epoch * task.training.batch_size
        shape = (len(task.seeds), self._count)
        self._rows = torch.zeros(shape, dtype=torch.int64, device=device)
        self._corners = torch.zeros((*shape, 2), dtype=torch.int64, device=device)
        self._flips = torch.zeros(shape, dtype=torch.bool, device=device)
        self._mean, self._std = (
            torch.tensor(values, device=device).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
        self._moving = task.data_settings.crop > 0 or task.data_settings.flip
        self.columns = torch.arange(self._count, device=device).view(task.steps_per_epoch, -1)

    def begin(self, epoch: int) -> None:
        """Draws an epoch, alike on every device."""

        settings = self._task.data_settings
        for row, (seed, (training, _)) in enumerate(zip(self._task.seeds, self._task.divisions, strict=True)):
            self._rows[row].copy_(sampling.order(training, seed, epoch)[:self._count])
            if self._moving:
                self._corners[row].copy_(sampling.corners(self._count, settings, seed, epoch))
                self._flips[row].copy_(sampling.flips(self._count, settings, seed, epoch))

    def at(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The batch in these columns of the epoch, (B,): pictures (R, B, C, H, W) and classes (R, B)."""

        rows = self._rows.index_select(1, columns)
        train = self._task.data.train
        images = train.images[rows]
        if self._moving:
            starts, flips = self._corners.index_select(1, columns), self._flips.index_select(1, columns)
            padding = self._task.data_settings.crop
            moved = sampling.augmented(
                images.flatten(0, 1), starts.flatten(0, 1), flips.flatten(0, 1), padding=padding)
            images = moved.view_as(images)
        pictures = sampling.normalized(images, self._task.data_settings, self._mean, self._std).to(self._dtype)
        return pictures, train.labels[rows]
