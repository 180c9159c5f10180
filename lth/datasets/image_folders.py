"""Folders of pictures, one subfolder a class: in memory, decoded once, or streamed.

    PATH/train/CLASS/…   PATH/test/CLASS/… (or val, validation)      or PATH/CLASS/…, of which a sixth is the test set
"""
import functools
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from lth import rng
from lth.datasets import ffcv_writer, image_files, streaming
from lth.datasets.image_files import ImageFolders, ImageList
from lth.datasets.source import Dataset, Shape, Source, Split, resized_shape, should_stream
from lth.errors import LthError
from lth.recipes.schema import DataSettings

_IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.ppm', '.pgm', '.tif', '.tiff'}
_TESTS = ('test', 'val', 'validation')
# A folder of larger pictures is kept at this side unless data.size says otherwise.
_LARGEST = 224


class FolderContents(NamedTuple):
    """Training and test pictures in these classes, and the shape of the first picture."""

    folders: ImageFolders
    classes: list[str]
    shape: Shape


@functools.cache
def source(path: str) -> Source:
    """The source of a folder, from the names of its files; none is read but the first picture."""

    if not path.strip():
        raise LthError('folder: names no folder: write folder:PATH, such as folder:./flowers.')
    found = _scan(Path(path).expanduser())
    pictures = len(found.folders.train.files), len(found.folders.test.files)
    return Source(f'pictures below {path}', found.shape, len(found.classes), pictures,
                  partial(read, found=found), {'validation': max(1, pictures[0] // 10)},
                  streams='large', decodes=True, prepare=partial(prepare, found=found))


def read(folder: Path, settings: DataSettings, *, found: FolderContents) -> Dataset:
    """The pictures at the size that the settings ask for."""

    shape = resized_shape(found.shape, settings)
    parts, cache = (found.folders.train, found.folders.test), folder / 'decoded'
    if should_stream(sum(len(part.files) for part in parts), shape, settings):
        return streaming.open_dataset(found.folders, shape, settings, cache=cache)
    train, test = (Split(*image_files.decode_all(part, shape, settings.undecodable, cache)) for part in parts)
    return Dataset(train, test, *streaming.sample_statistics(train.images), reader='files')


def prepare(_folder: Path, settings: DataSettings, tell: Callable[[int, int], None], *, found: FolderContents) -> list[Path]:
    """Writes the pictures once in the form that FFCV streams, beside their folders."""

    return ffcv_writer.write_prepared(found.folders, resized_shape(found.shape, settings), settings.undecodable, tell)


def list_images(path: Path, classes: Sequence[str]) -> ImageList:
    """The picture files of these classes, in order."""

    files, labels = list[Path](), list[int]()
    for label, name in enumerate(classes):
        below = sorted(Path(place) / file for place, _, names in os.walk(path / name) for file in names
                       if Path(file).suffix.lower() in _IMAGE_SUFFIXES)
        files += below
        labels += [label] * len(below)
    return ImageList(files, torch.tensor(labels, dtype=torch.int64))


def _scan(path: Path) -> FolderContents:
    train_path = path / 'train' if (path / 'train').is_dir() else path
    test_path = next((path / name for name in _TESTS if train_path != path and (path / name).is_dir()), None)
    classes = _classes(train_path)
    train = list_images(train_path, classes)
    if test_path is None:
        train, test = _split_train_test(train)
    else:
        if differing := sorted(set(_classes(test_path)) ^ set(classes)):
            lacking = [f'{name} only in {(train_path if name in classes else test_path).name}' for name in differing]
            raise LthError(f'{path}: the classes differ between {train_path.name} and {test_path.name}: '
                           f'{", ".join(lacking[:5])}{", …" if len(differing) > 5 else ""}. Give each class a '
                           'subfolder with pictures in both.')
        test = list_images(test_path, classes)
    for part, name in ((train, 'training'), (test, 'test')):
        if not part.files:
            raise LthError(f'folder:{path} has no {name} pictures: put them into {path}/train/CLASS and '
                           f'{path}/test/CLASS, or all into {path}/CLASS.')
    return FolderContents(ImageFolders(f'folder:{path}', path, train, test), classes, _first_shape(train))


def _classes(path: Path) -> list[str]:
    try:
        classes = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and _has_images(entry))
    except OSError as error:
        raise LthError(f'folder:{path} cannot be read: {error.strerror}. Give a folder with one subfolder of pictures '
                       'for each class.') from None
    if len(classes) < 2:
        raise LthError(f'folder:{path} has {len(classes)} subfolders with pictures, expected one for each class, at '
                       'least two.')
    return classes


def _has_images(path: Path) -> bool:
    return any(Path(name).suffix.lower() in _IMAGE_SUFFIXES for _, _, names in os.walk(path) for name in names)


def _split_train_test(folder: ImageList) -> tuple[ImageList, ImageList]:
    """Training and test pictures, a sixth of all, the same whenever it is asked."""

    drawn = torch.randperm(len(folder.files), generator=rng.generator(0, 'test pictures'))
    count = len(drawn) // 6
    parts = [drawn[count:].sort().values, drawn[:count].sort().values]
    train, test = (ImageList([folder.files[row] for row in rows.tolist()], folder.labels[rows]) for rows in parts)
    return train, test


def _first_shape(folder: ImageList) -> Shape:
    """A square as large as the shorter side of the first picture that opens; grey if that picture is."""

    for file in folder.files:
        try:
            with Image.open(file) as picture:
                side = min(*picture.size, _LARGEST)
                return (1 if picture.mode in ('1', 'L', 'LA', 'I', 'F', 'I;16') else 3), side, side
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
    raise LthError(f'None of the {len(folder.files)} pictures can be opened, such as {folder.files[0]}.')
