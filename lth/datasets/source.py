"""Pictures in memory, and the register of where they come from."""
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lth.registry import Registry


class Split(NamedTuple):
    """Pictures (n, channels, height, width) as uint8 and their classes (n,) as int64."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Dataset:
    """Training and test pictures; the validation pictures are drawn from the training ones by each seed."""

    train: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to(self, device: torch.device) -> 'Dataset':
        """The same data set, living on the device."""

        moved = (Split(split.images.to(device), split.labels.to(device)) for split in (self.train, self.test))
        return replace(self, train=next(moved), test=next(moved))


@dataclass(frozen=True)
class Source:
    """What is known of a data set before a file is touched; `read` takes the folder where data lies or is put."""

    summary: str
    shape: tuple[int, int, int]
    classes: int
    pictures: tuple[int, int]
    read: Callable[[Path], Dataset]
    settings: dict[str, Any] = field(default_factory=dict)


DATASETS: Registry[Source] = Registry('data set')
