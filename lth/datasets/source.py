"""Pictures in memory or streamed, and the register of where they come from."""
import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from lth.errors import LthError
from lth.recipes.schema import DataSettings

Shape = tuple[int, int, int]


class Stream(Protocol):
    """Pictures too many for memory, read as they are needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width), as of a tensor."""

    def batches(self, rows: Tensor, size: int) -> Iterator[Tensor]:
        """The pictures with these numbers (m,), in this order, in batches of `size`: uint8 (B, C, H, W)."""


class Split(NamedTuple):
    """Pictures (n, channels, height, width) as uint8 and their classes (n,) as int64."""

    images: Tensor | Stream
    labels: Tensor


@dataclass(frozen=True)
class Dataset:
    """Training and test pictures; the validation pictures are drawn from the training ones by each seed.

    `reader` tells who reads the pictures, since not all decode alike; `remark` what the user should know of it.
    """

    train: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reader: str = 'memory'
    note: str = ''

    @property
    def shape(self) -> Shape:
        """Channels, height and width of a picture as it is kept."""

        _, channels, height, width = self.train.images.shape
        return channels, height, width

    @property
    def fingerprint(self) -> str:
        """What changes if the pictures or their classes do: from all classes, and what is average in the pictures."""

        digest = hashlib.blake2b(repr((self.shape, self.mean, self.std)).encode(), digest_size=12)
        for split in (self.train, self.test):
            digest.update(split.labels.cpu().numpy().tobytes())
        return digest.hexdigest()

    def to(self, device: torch.device) -> 'Dataset':
        """The same data set, living on the device; streams come batch by batch."""

        moved = (Split(split.images.to(device) if isinstance(split.images, Tensor) else split.images,
                       split.labels.to(device)) for split in (self.train, self.test))
        return replace(self, train=next(moved), test=next(moved))


@dataclass(frozen=True)
class Source:
    """What is known of a data set before a picture is read.

    `read` takes the folder where data lies or is put. Pictures are streamed never, if there are too many for memory, or
    always; `prepare` then writes them once in a form that streams fast. `decodes`: they are files that may be broken.
    """

    summary: str
    shape: Shape
    classes: int
    image_counts: tuple[int, int]
    read: Callable[[Path, DataSettings], Dataset]
    settings: dict[str, Any] = field(default_factory=dict)
    streams: Literal['never', 'large', 'always'] = 'never'
    decodes: bool = False
    prepare: Callable[[Path, DataSettings, Callable[[int, int], None]], list[Path]] | None = None

    def stored_shape(self, settings: DataSettings) -> Shape:
        """The shape in which pictures are kept, before any cropping."""

        return resized_shape(self.shape, settings)

    def input_shape(self, settings: DataSettings) -> Shape:
        """The shape that the network sees; an LthError if pictures are too small to be cut to it."""

        channels, height, width = self.stored_shape(settings)
        if settings.resolution is None:
            return channels, height, width
        if height != width or settings.resolution > height:
            raise LthError(f'data.resolution: {settings.resolution} cannot be cut from pictures of {height}×{width} '
                           'pixels: give square pictures at least as large (data.size), or a smaller resolution.')
        return channels, settings.resolution, settings.resolution

    def is_streamed(self, settings: DataSettings) -> bool:
        """Whether pictures are streamed; an LthError for settings that this source cannot follow."""

        possible = {'never': ('auto', 'memory'), 'large': ('auto', 'memory', 'stream'), 'always': ('auto', 'stream')}
        if settings.storage not in possible[self.streams]:
            raise LthError(f'data.storage: {settings.storage} is not for {settings.name}: choose one of '
                           f'{", ".join(possible[self.streams])}.')
        if settings.undecodable == 'skip' and not self.decodes:
            raise LthError(f'data.undecodable: {settings.name} has no picture files to skip: leave it out.')
        large = should_stream(sum(self.image_counts), self.stored_shape(settings), settings)
        return self.streams == 'always' or (self.streams == 'large' and large)


def resized_shape(shape: Shape, settings: DataSettings) -> Shape:
    """What the settings make of pictures of this shape."""

    channels, height, width = shape
    return settings.channels or channels, settings.size or height, settings.size or width


def should_stream(pictures: int, shape: Shape, settings: DataSettings) -> bool:
    """Whether pictures are better streamed: if the recipe says so, else if they would fill a quarter of the memory."""

    size, memory = pictures * math.prod(shape), os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return settings.storage == 'stream' or (settings.storage == 'auto' and size > memory / 4)
