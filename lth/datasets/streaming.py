"""Images that are decoded when they are needed: by FFCV if they were prepared for it, else file by file."""
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lth import rng
from lth.datasets import ffcv_reader, image_decoding, image_files
from lth.datasets.image_files import ImageFolders, ImageList
from lth.datasets.resizing import Statistics, channel_statistics
from lth.datasets.source import Dataset, Shape, Split, Stream
from lth.recipes.schema import DataSettings

# Enough images for an error below 0.001 of mean and standard deviation.
_SAMPLE = 2000


@dataclass(frozen=True)
class FileStream:
    """Image files, decoded in advance by threads."""

    files: list[Path]
    image_shape: Shape

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width)."""

        return len(self.files), *self.image_shape

    @property
    def fingerprint(self) -> str:
        """Digest of the files' names and sizes."""

        digest = hashlib.blake2b(digest_size=12)
        for file in self.files:
            digest.update(os.fsencode(f'{file.parent.name}/{file.name} {file.stat().st_size}\n'))
        return digest.hexdigest()

    def batches(self, indices: Tensor, size: int) -> Iterator[Tensor]:
        """Yield the images with these indices, in batches of `size`; LthError for one that cannot be decoded."""

        files = [self.files[row] for row in indices.tolist()]
        batch: list[Tensor] = []
        for count, image in enumerate(image_decoding.decode_in_order(files, self.image_shape), 1):
            if isinstance(image, image_decoding.Undecodable):
                raise image_files.undecodable_error({files[count - 1]: image.reason}, len(self.files))
            batch.append(image)
            if len(batch) == size or count == len(files):
                yield torch.stack(batch)
                batch = []


def open_dataset(
        folders: ImageFolders, shape: Shape, settings: DataSettings, *, cache: Path,
        statistics: Statistics | None = None) -> Dataset:
    """The images as streams. Their mean and standard deviation are those of a sample unless `statistics` are given."""

    prepared = ffcv_reader.open_splits(folders, shape, settings)
    if prepared:
        splits, reader = prepared, 'ffcv'
        note = f'Images: streamed by FFCV from {folders.path}, with as many threads as --threads.'
    else:
        splits = _stream(folders.train, shape, settings, cache), _stream(folders.test, shape, settings, cache)
        reader, note = 'files', (
            f'Images: decoded file by file from {folders.path}. FFCV is 5 times as fast at 256 pixels and 13 times at '
            f'32 (docs/performance.md): {ffcv_reader.advice(folders.name, settings)}.')
    mean, std = statistics or sample_statistics(splits[0].images)
    return Dataset(*splits, mean, std, reader, f'{folders.note}\n{note}'.strip())


def sample_statistics(images: Tensor | Stream) -> Statistics:
    """Mean and standard deviation of each channel in a sample, the same images whether streamed or in memory."""

    indices = torch.randperm(images.shape[0], generator=rng.generator(0, 'averages'))[:_SAMPLE].sort().values
    if isinstance(images, Tensor):
        return channel_statistics(images[indices])
    return channel_statistics(torch.cat([batch.clone() for batch in images.batches(indices, 256)]))


def _stream(folder: ImageList, shape: Shape, settings: DataSettings, cache: Path) -> Split:
    if settings.undecodable == 'refuse':
        return Split(FileStream(folder.files, shape), folder.labels)
    indices = image_files.decodable_indices(folder, shape, cache)
    return Split(FileStream([folder.files[row] for row in indices.tolist()], shape), folder.labels[indices])
