"""ImageNet (Russakovsky et al. 2015), streamed, and Tiny-ImageNet (Le & Yang 2015), in memory."""
from collections.abc import Callable
from pathlib import Path

import torch

from lth.datasets import ffcv_reader, ffcv_writer, image_files, image_folders, streaming
from lth.datasets.downloads import download_and_unpack
from lth.datasets.image_files import ImageFolders, ImageList
from lth.datasets.registry import DATASETS
from lth.datasets.resizing import make_dataset
from lth.datasets.source import Dataset, Source, Split, resized_shape
from lth.errors import LthError
from lth.recipes.schema import DataSettings

_SHAPE = (3, 256, 256)
_PICTURES = (1_281_167, 50_000)
_AVERAGES = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TINY = 'tiny-imagenet-200'


def _read(folder: Path, settings: DataSettings) -> Dataset:
    """The prepared pictures, or the JPEG files if there are none."""

    none, shape = ImageList([], torch.empty(0)), resized_shape(_SHAPE, settings)
    path = folder / 'imagenet'
    found = ImageFolders('imagenet', path, none, none) if ffcv_reader.is_prepared(path, shape) else _folders(path)
    return streaming.open_dataset(found, shape, settings, cache=folder / 'decoded', known=_AVERAGES)


def _prepare(folder: Path, settings: DataSettings, tell: Callable[[int, int], None]) -> list[Path]:
    return ffcv_writer.write_prepared(_folders(folder / 'imagenet'), resized_shape(_SHAPE, settings), settings.undecodable, tell)


def _folders(path: Path) -> ImageFolders:
    parts = []
    for name, count in zip(('train', 'val'), _PICTURES):
        place = path / name
        classes = sorted(entry.name for entry in place.iterdir() if entry.is_dir()) if place.is_dir() else []
        part = image_folders.list_images(place, classes)
        if len(classes) != 1000 or len(part.files) != count:
            raise LthError(f'{place} has {len(part.files)} pictures in {len(classes)} folders, ImageNet has {count} in '
                           '1000. It must be fetched by hand from https://image-net.org; torchvision.datasets.ImageNet '
                           f'unpacks the archives into such folders. Prepared files are read by FFCV only. For a part '
                           f'of it, use folder:{path}.')
        parts.append(part)
    return ImageFolders('imagenet', path, *parts)


def _read_tiny(folder: Path, settings: DataSettings) -> Dataset:
    """All pictures, decoded once; the published validation pictures are the test set, as the true one has no labels."""

    path = download_and_unpack(folder, _TINY, f'http://cs231n.stanford.edu/{_TINY}.zip', '90528d7ca1a48142e341f4ef8d21d0de')
    shape = resized_shape((3, 64, 64), settings)
    train, test = (Split(*image_files.decode_all(part, shape, settings.undecodable, folder / 'decoded'))
                   for part in _tiny_files(path))
    return make_dataset(train, test)


def _tiny_files(path: Path) -> tuple[ImageList, ImageList]:
    try:
        classes = sorted((path / 'wnids.txt').read_text().split())
        rows = [line.split('\t') for line in (path / 'val' / 'val_annotations.txt').read_text().splitlines()]
        test = ImageList([path / 'val' / 'images' / row[0] for row in rows],
                      torch.tensor([classes.index(row[1]) for row in rows], dtype=torch.int64))
    except (OSError, ValueError, IndexError) as error:
        raise LthError(f'{path} is not Tiny-ImageNet as it is published: {error}. Delete it, and the same command '
                       f'unpacks {_TINY}.zip anew.') from None
    train = image_folders.list_images(path / 'train', classes)
    if missing := [file for file in test.files if not file.exists()] or (not train.files and [path / 'train']):
        raise LthError(f'{path} is not whole: {missing[0]} is missing. Delete it, and the same command unpacks '
                       f'{_TINY}.zip anew.')
    return train, test


DATASETS.register('imagenet', 'imagenet-1k', 'ilsvrc2012')(Source(
    summary='photographs (Russakovsky et al. 2015), streamed; fetched by hand', shape=_SHAPE, classes=1000,
    image_counts=_PICTURES, read=_read, streams='always', decodes=True, prepare=_prepare,
    settings={'validation': 10_000, 'normalization': 'standardize', 'resolution': 224}))

DATASETS.register('tiny-imagenet', 'tiny-imagenet-200')(Source(
    summary='photographs (Le & Yang 2015), decoded once', shape=(3, 64, 64), classes=200, image_counts=(100_000, 10_000),
    read=_read_tiny, decodes=True, settings={'normalization': 'standardize'}))
