"""Folders of images with one subfolder per class, decoded into memory once or streamed.

    PATH/train/CLASS/…   PATH/test/CLASS/… (or val, validation)      or PATH/CLASS/…, where 1/6 becomes the test set
"""
import functools
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from lth import rng
from lth.datasets import ffcv_writer, image_files, streaming
from lth.datasets.image_files import ImageFolders, ImageList
from lth.datasets.source import Dataset, OnProgress, Shape, Source, Split, resized_shape, should_stream
from lth.errors import LthError
from lth.recipes.schema import DataSettings

_IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.ppm', '.pgm', '.tif', '.tiff'}
_TEST_NAMES = ('test', 'val', 'validation')
_GRAY_MODES = ('1', 'L', 'LA', 'I', 'F', 'I;16')
# Larger images are stored with this side unless data.size says otherwise.
_LARGEST_SIDE = 224


@functools.cache
def source(path: str) -> Source:
    """The source of a folder. Only file names are read, and the first image."""

    if not path.strip():
        raise LthError('folder: has no path. Write folder:PATH, such as folder:./flowers.')
    folders = _scan(Path(path).expanduser())
    shape = _first_shape(folders.train)
    # Each class has images, though perhaps only in one of the two.
    classes = 1 + int(torch.cat([folders.train.labels, folders.test.labels]).max())
    count = len(folders.train.files)
    return Source(f'images below {path}', shape, classes, (count, len(folders.test.files)),
                  partial(_read, folders=folders, shape=shape), {'validation': max(1, count // 10)},
                  streams='large', decodes=True, prepare=partial(_prepare, folders=folders, shape=shape))


def list_images(path: Path, classes: Sequence[str]) -> ImageList:
    """The image files below the subfolders of these classes, ordered by class, then by path."""

    files, labels = list[Path](), list[int]()
    for label, name in enumerate(classes):
        images = sorted(Path(parent) / file for parent, _, names in os.walk(path / name) for file in names
                        if _is_image(file))
        files += images
        labels += [label] * len(images)
    return ImageList(files, torch.tensor(labels, dtype=torch.int64))


def _read(data_folder: Path, settings: DataSettings, *, folders: ImageFolders, shape: Shape) -> Dataset:
    """The images at the size of the settings, streamed or in memory. Decoded images are cached in the data folder."""

    shape, cache = resized_shape(shape, settings), data_folder / 'decoded'
    parts = folders.train, folders.test
    if should_stream(sum(len(part.files) for part in parts), shape, settings):
        return streaming.open_dataset(folders, shape, settings, cache=cache)
    train, test = (Split(*image_files.decode_all(part, shape, settings.undecodable, cache)) for part in parts)
    return Dataset(train, test, *streaming.sample_statistics(train.images), reader='files')


def _prepare(
        _data_folder: Path, settings: DataSettings, on_progress: OnProgress, *, folders: ImageFolders,
        shape: Shape) -> list[Path]:
    shape = resized_shape(shape, settings)
    return ffcv_writer.write_prepared(folders, shape, settings.undecodable, on_progress)


def _scan(path: Path) -> ImageFolders:
    """List training and test images; LthError if one of them is empty, or if their classes differ."""

    train_path = path / 'train' if (path / 'train').is_dir() else path
    test_path = next((path / name for name in _TEST_NAMES if train_path != path and (path / name).is_dir()), None)
    classes = _classes(train_path)
    train = list_images(train_path, classes)
    if test_path is None:
        train, test = _split_train_test(train)
    else:
        _require_same_classes(classes, train_path, test_path)
        test = list_images(test_path, classes)
    for part, name in ((train, 'training'), (test, 'test')):
        if not part.files:
            raise LthError(f'folder:{path} has no {name} images. Put them into {path}/train/CLASS and '
                           f'{path}/test/CLASS, or all of them into {path}/CLASS.')
    return ImageFolders(f'folder:{path}', path, train, test)


def _classes(path: Path) -> list[str]:
    """Names of the subfolders that have images, sorted."""

    try:
        classes = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and _has_images(entry))
    except OSError as error:
        raise LthError(f'folder:{path} cannot be read: {error.strerror}. Give a folder with one subfolder of images '
                       'per class.') from None
    if len(classes) < 2:
        raise LthError(f'folder:{path} has {len(classes)} subfolders with images. Give each class a subfolder; at '
                       'least two classes are needed.')
    return classes


def _require_same_classes(classes: Sequence[str], train_path: Path, test_path: Path) -> None:
    if differing := sorted(set(_classes(test_path)) ^ set(classes)):
        where = [f'{name} only in {(train_path if name in classes else test_path).name}' for name in differing[:5]]
        more = ', …' if len(differing) > 5 else ''
        raise LthError(f'{train_path.parent}: the classes of {train_path.name} and {test_path.name} differ: '
                       f'{", ".join(where)}{more}. Give each class a subfolder with images in both.')


def _has_images(path: Path) -> bool:
    return any(_is_image(name) for _, _, names in os.walk(path) for name in names)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in _IMAGE_SUFFIXES


def _split_train_test(folder: ImageList) -> tuple[ImageList, ImageList]:
    """Training and test images: 1/6 of the images is the test set, always the same one."""

    order = torch.randperm(len(folder.files), generator=rng.generator(0, 'test pictures'))
    count = len(order) // 6
    parts = order[count:].sort().values, order[:count].sort().values
    train, test = (ImageList([folder.files[row] for row in rows.tolist()], folder.labels[rows]) for rows in parts)
    return train, test


def _first_shape(folder: ImageList) -> Shape:
    """A square with the shorter side of the first image that can be opened; 1 channel if this image is gray."""

    for file in folder.files:
        try:
            with Image.open(file) as image:
                side = min(*image.size, _LARGEST_SIDE)
                return (1 if image.mode in _GRAY_MODES else 3), side, side
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
    raise LthError(f'None of the {len(folder.files)} images can be opened, such as {folder.files[0]}.')
