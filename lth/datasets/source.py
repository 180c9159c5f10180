"""Data sets: images and labels, in memory or streamed, and sources, which describe a data set before it is read."""
import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.recipes.schema import DataSettings
from lth.system.memory import available_memory, in_gibibytes

Shape = tuple[int, int, int]
# Called with the number of images done and the number of all images.
OnProgress = Callable[[int, int], None]
_IMAGES_PER_CHUNK = 1024


class Stream(Protocol):
    """Images that do not fit into memory and are read when they are needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width), as a tensor has it."""

    def batches(self, indices: Tensor, size: int) -> Iterator[Tensor]:
        """Yield the images with these indices (m,), in this order, in batches of `size`: uint8 (B, C, H, W). A batch is
        valid until the next one is requested.
        """


class Split(NamedTuple):
    """Images (n, channels, height, width) as uint8 and their labels (n,) as int64."""

    images: Tensor | Stream
    labels: Tensor


@dataclass(frozen=True)
class Dataset:
    """Training and test set. Each seed takes its own validation images from the training set.

    `mean` and `std` belong to the channels of the training images, in [0, 1]. `reader` names the code that decodes the
    images, as pixels may differ between decoders. `note` is printed for the user.
    """

    train: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reader: str = 'memory'
    note: str = ''

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of the stored images."""

        _, channels, height, width = self.train.images.shape
        return channels, height, width

    @property
    def fingerprint(self) -> str:
        """Digest of the images' shape, mean and std, and of all labels."""

        digest = hashlib.blake2b(repr((self.shape, self.mean, self.std)).encode(), digest_size=12)
        for split in (self.train, self.test):
            digest.update(split.labels.cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def image_digest(self) -> str:
        """Digest of all images and labels. Of images that are streamed it has the number, shape, mean and std to four
        digits and, if the stream has a `fingerprint`, this.
        """

        digest = hashlib.blake2b(digest_size=12)
        for images, labels in (self.train, self.test):
            digest.update(repr(tuple(images.shape)).encode() + labels.cpu().numpy().tobytes())
            if isinstance(images, Tensor):
                for chunk in images.split(_IMAGES_PER_CHUNK):
                    digest.update(chunk.cpu().contiguous().numpy())
            else:
                statistics = [f'{value:.4g}' for value in (*self.mean, *self.std)]
                digest.update(f'{getattr(images, "fingerprint", "")} {statistics}'.encode())
        return digest.hexdigest()

    def to(self, device: torch.device) -> 'Dataset':
        """The data set with its tensors on the device. Streams stay as they are: they are moved batch by batch."""

        return replace(self, train=_move(self.train, device), test=_move(self.test, device))


@dataclass(frozen=True)
class Source:
    """What is known about a data set before its images are read.

    `image_counts`: number of training and of test images. `read` takes the folder of all data sets; it downloads
    missing files. `settings` replace the defaults of the recipe's data section. `streams`: whether images are streamed;
    `large` means only if they are too large for memory. `decodes`: whether images are decoded from files, which may be
    corrupt. `prepare` writes the images once as files that stream fast, and returns these files. `class_names` are in
    the order of the labels, () if they are not known.
    """

    summary: str
    shape: Shape
    classes: int
    image_counts: tuple[int, int]
    read: Callable[[Path, DataSettings], Dataset]
    settings: dict[str, Any] = field(default_factory=dict)
    streams: Literal['never', 'large', 'always'] = 'never'
    decodes: bool = False
    prepare: Callable[[Path, DataSettings, OnProgress], list[Path]] | None = None
    class_names: tuple[str, ...] = ()

    def input_shape(self, settings: DataSettings) -> Shape:
        """Shape of the network's input; LthError if the stored images are too small to be cropped to it."""

        channels, height, width = resized_shape(self.shape, settings)
        if settings.resolution is None:
            return channels, height, width
        if height != width or settings.resolution > height:
            raise LthError(f'data.resolution: images of {height}×{width} pixels cannot be cropped to a side of '
                           f'{settings.resolution}. Resize them to larger squares (data.size), or choose a smaller '
                           'resolution.')
        return channels, settings.resolution, settings.resolution

    def is_streamed(self, settings: DataSettings) -> bool:
        """Whether images are streamed; LthError for settings that this source does not support."""

        possible = {'never': ('auto', 'memory'), 'large': ('auto', 'memory', 'stream'), 'always': ('auto', 'stream')}
        if settings.storage not in possible[self.streams]:
            raise LthError(f'data.storage: {settings.name} does not support {settings.storage}. Choose one of '
                           f'{", ".join(possible[self.streams])}.')
        if settings.undecodable == 'skip' and not self.decodes:
            raise LthError(f'data.undecodable: {settings.name} has no image files to skip. Remove this setting.')
        large = should_stream(sum(self.image_counts), resized_shape(self.shape, settings), settings)
        return self.streams == 'always' or (self.streams == 'large' and large)

    def image_bytes(self, settings: DataSettings) -> int:
        """The memory of all images as they are stored, 0 if they are streamed; LthError for more than there is."""

        if self.is_streamed(settings):
            return 0
        shape = resized_shape(self.shape, settings)
        size, limit = sum(self.image_counts) * math.prod(shape), available_memory()
        if size > limit:
            streams = '' if self.streams == 'never' else ', or stream them (data.storage)'
            raise LthError(f'{settings.name} has {sum(self.image_counts):,} images of {"×".join(map(str, shape))} '
                           f'pixels, which need {in_gibibytes(size)} of memory. The limit is {in_gibibytes(limit)}, '
                           f'the memory of this machine. Use smaller images (data.size){streams}.',
                           exit_code=ENVIRONMENT_ERROR)
        return size


def resized_shape(shape: Shape, settings: DataSettings) -> Shape:
    """Shape of the stored images, before they are cropped: `shape`, unless data.size or data.channels change it."""

    channels, height, width = shape
    return settings.channels or channels, settings.size or height, settings.size or width


def should_stream(count: int, shape: Shape, settings: DataSettings) -> bool:
    """Whether to stream `count` images: if the recipe says so or, for `auto`, if they would fill 1/4 of the memory."""

    size, memory = count * math.prod(shape), os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return settings.storage == 'stream' or (settings.storage == 'auto' and size > memory / 4)


def _move(split: Split, device: torch.device) -> Split:
    images = split.images.to(device) if isinstance(split.images, Tensor) else split.images
    return Split(images, split.labels.to(device))
