"""ImageNet (Russakovsky et al. 2015), streamed, and Tiny-ImageNet (Le & Yang 2015), in memory."""
from pathlib import Path

import torch

from lth.datasets import ffcv_reader, ffcv_writer, image_files, image_folders, streaming
from lth.datasets.downloads import download_and_unpack
from lth.datasets.image_files import ImageFolders, ImageList
from lth.datasets.registry import DATASETS
from lth.datasets.resizing import make_dataset
from lth.datasets.source import Dataset, OnProgress, Source, Split, resized_shape
from lth.errors import LthError
from lth.recipes.schema import DataSettings

_SHAPE = (3, 256, 256)
_IMAGE_COUNTS = (1_281_167, 50_000)
_STATISTICS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TINY = 'tiny-imagenet-200'
_TINY_URL, _TINY_MD5 = f'http://cs231n.stanford.edu/{_TINY}.zip', '90528d7ca1a48142e341f4ef8d21d0de'


def _read(folder: Path, settings: DataSettings) -> Dataset:
    """The prepared images if there are any, else the JPEG files."""

    empty, shape = ImageList([], torch.empty(0)), resized_shape(_SHAPE, settings)
    path = folder / 'imagenet'
    prepared = ffcv_reader.is_prepared(path, shape)
    folders = ImageFolders('imagenet', path, empty, empty) if prepared else _folders(path)
    return streaming.open_dataset(folders, shape, settings, cache=folder / 'decoded', statistics=_STATISTICS)


def _prepare(folder: Path, settings: DataSettings, on_progress: OnProgress) -> list[Path]:
    shape = resized_shape(_SHAPE, settings)
    return ffcv_writer.write_prepared(_folders(folder / 'imagenet'), shape, settings.undecodable, on_progress)


def _folders(path: Path) -> ImageFolders:
    parts = []
    for name, count in zip(('train', 'val'), _IMAGE_COUNTS):
        folder = path / name
        classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
        part = image_folders.list_images(folder, classes)
        if len(classes) != 1000 or len(part.files) != count:
            raise LthError(f'{folder} has {len(part.files)} images in {len(classes)} subfolders, but ImageNet has '
                           f'{count} in 1000. Download it from https://image-net.org; torchvision.datasets.ImageNet '
                           'unpacks the archives into such folders. Prepared files can be read only with FFCV. To use '
                           f'a part of ImageNet, write folder:{path}.')
        parts.append(part)
    return ImageFolders('imagenet', path, train=parts[0], test=parts[1])


def _read_tiny(folder: Path, settings: DataSettings) -> Dataset:
    """All images, decoded once. The published validation set is the test set, as the labels of the latter are secret.
    """

    path = download_and_unpack(folder, _TINY, _TINY_URL, _TINY_MD5)
    shape = resized_shape((3, 64, 64), settings)
    train, test = (Split(*image_files.decode_all(part, shape, settings.undecodable, folder / 'decoded'))
                   for part in _tiny_files(path))
    return make_dataset(train, test)


def _tiny_files(path: Path) -> tuple[ImageList, ImageList]:
    try:
        classes = sorted((path / 'wnids.txt').read_text().split())
        rows = [line.split('\t') for line in (path / 'val' / 'val_annotations.txt').read_text().splitlines()]
        labels = torch.tensor([classes.index(row[1]) for row in rows], dtype=torch.int64)
        test = ImageList([path / 'val' / 'images' / row[0] for row in rows], labels)
    except (OSError, ValueError, IndexError) as error:
        raise LthError(f'{path} is not the published Tiny-ImageNet: {error}. Delete it, and the same command unpacks '
                       f'{_TINY}.zip again.') from None
    train = image_folders.list_images(path / 'train', classes)
    missing = [file for file in test.files if not file.exists()]
    if missing or not train.files:
        raise LthError(f'{path} is incomplete: {(missing or [path / "train"])[0]} is missing. Delete it, and the same '
                       f'command unpacks {_TINY}.zip again.')
    return train, test


DATASETS.register('imagenet', 'imagenet-1k', 'ilsvrc2012')(Source(
    summary='photographs (Russakovsky et al. 2015), streamed, manual download', shape=_SHAPE,
    classes=1000, image_counts=_IMAGE_COUNTS, read=_read, streams='always', decodes=True, prepare=_prepare,
    settings={'validation': 10_000, 'normalization': 'standardize', 'resolution': 224}))

DATASETS.register('tiny-imagenet', 'tiny-imagenet-200')(Source(
    summary='photographs (Le & Yang 2015)', shape=(3, 64, 64), classes=200,
    image_counts=(100_000, 10_000), read=_read_tiny, decodes=True, settings={'normalization': 'standardize'}))
