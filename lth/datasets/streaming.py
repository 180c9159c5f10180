"""Pictures that are decoded as they are needed: by FFCV where they were prepared, else file by file."""
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lth import rng
from lth.datasets import ffcv_reader, image_files
from lth.datasets.image_files import ImageFolders, ImageList
from lth.datasets.resizing import channel_statistics
from lth.datasets.source import Dataset, Shape, Split, Stream
from lth.recipes.schema import DataSettings

# Enough to tell mean and standard deviation to a thousandth.
_SAMPLE = 2000


@dataclass(frozen=True)
class FileStream:
    """Picture files, decoded by threads ahead of who asks."""

    files: list[Path]
    picture: Shape

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width)."""

        return len(self.files), *self.picture

    def batches(self, rows: Tensor, size: int) -> Iterator[Tensor]:
        """The pictures with these numbers, in batches of `size`."""

        files = [self.files[row] for row in rows.tolist()]
        batch: list[Tensor] = []
        for number, image in enumerate(image_files.decode_in_order(files, self.picture), 1):
            if image is None:
                raise image_files.undecodable_error([files[number - 1]], len(self.files))
            batch.append(image)
            if len(batch) == size or number == len(files):
                yield torch.stack(batch)
                batch = []


def open_dataset(
        folders: ImageFolders, shape: Shape, settings: DataSettings, *, cache: Path,
        known: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> Dataset:
    """The pictures as streams, with their mean and standard deviation, of a sample unless `known`."""

    ready = ffcv_reader.open_splits(folders, shape, settings)
    if ready:
        splits, reader = ready, 'ffcv'
        note = f'Pictures: streamed by FFCV from {folders.path}, as many threads as --threads.'
    else:
        splits = _stream(folders.train, shape, settings, cache), _stream(folders.test, shape, settings, cache)
        reader, note = 'files', (
            f'Pictures: decoded file by file from {folders.path}; FFCV is 5 times as fast at 256 pixels, 13 times at '
            f'32 (docs/performance.md): {ffcv_reader.advice(folders.name, settings)}.')
    mean, std = known or sample_statistics(splits[0].images)
    return Dataset(*splits, mean, std, reader, note)


def _stream(folder: ImageList, shape: Shape, settings: DataSettings, cache: Path) -> Split:
    if settings.undecodable == 'refuse':
        return Split(FileStream(folder.files, shape), folder.labels)
    good = image_files.decodable_indices(folder, shape, cache)
    return Split(FileStream([folder.files[row] for row in good.tolist()], shape), folder.labels[good])


def sample_statistics(images: Tensor | Stream) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel in a sample, the same whether pictures are streamed or in memory."""

    rows = torch.randperm(images.shape[0], generator=rng.generator(0, 'averages'))[:_SAMPLE].sort().values
    if isinstance(images, Tensor):
        return channel_statistics(images[rows])
    return channel_statistics(torch.cat([batch.clone() for batch in images.batches(rows, 256)]))
