"""Folders of images with one subfolder per class, decoded into memory once or streamed.

    PATH/train/CLASS/…   PATH/test/CLASS/… (or val, validation)      or PATH/CLASS/…, where 1/6 becomes the test set
"""
import functools
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from lth import rng
from lth.datasets import ffcv_writer, image_decoding, image_files, pil_images, streaming
from lth.datasets.image_files import ImageFolders, ImageList
from lth.datasets.source import Dataset, OnProgress, Shape, Source, Split, resized_shape, should_stream
from lth.errors import LthError, quote
from lth.recipes.schema import DataSettings

_IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.ppm', '.pgm', '.tif', '.tiff'}
# In any case, the first that exists.
_TRAIN_NAMES = ('train', 'training')
_TEST_NAMES = ('test', 'testing', 'val', 'valid', 'validation')
_MOST_NAMES = 10
_FOLDERS_OF_PROGRAMS = {'__MACOSX', '@eaDir', '$RECYCLE.BIN', 'System Volume Information', 'lost+found'}
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
                  streams='large', decodes=True, prepare=partial(_prepare, folders=folders, shape=shape),
                  class_names=folders.classes)


def list_images(path: Path, classes: Sequence[str]) -> ImageList:
    """The image files below the subfolders of these classes, ordered by class, then by path."""

    files, labels = list[Path](), list[int]()
    for label, name in enumerate(classes):
        images = sorted(_images_below(path / name))
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
    return Dataset(train, test, *streaming.sample_statistics(train.images), reader='files',
                   note=folders.note)


def _prepare(
        _data_folder: Path, settings: DataSettings, on_progress: OnProgress, *, folders: ImageFolders,
        shape: Shape) -> list[Path]:
    shape = resized_shape(shape, settings)
    return ffcv_writer.write_prepared(folders, shape, settings.undecodable, on_progress)


def _scan(path: Path) -> ImageFolders:
    """List training and test images; LthError if one of them is empty, or if their classes differ."""

    train_path, test_path = _parts(path)
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
    note = _note(path, train_path, test_path or train_path, classes)
    return ImageFolders(f'folder:{path}', path, train, test, note, tuple(classes))


def _parts(path: Path) -> tuple[Path, Path | None]:
    """The folders of the training and of the test images, None for the latter if there is none. LthError if there is
    only one with test images.
    """

    folders = {entry.name.lower(): entry for entry in _subfolders(path)}
    train = next((folders[name] for name in _TRAIN_NAMES if name in folders), None)
    test = next((folders[name] for name in _TEST_NAMES if name in folders), None)
    if train is None and test is not None:
        raise LthError(f'folder:{path} has test images in {test.name}, but no folder train. Put the training images '
                       f'into {path}/train/CLASS, or rename {test.name} if it is a class.')
    return train or path, test


def _note(path: Path, train_path: Path, test_path: Path, classes: Sequence[str]) -> str:
    """Which folders are classes, and what in the folders is not used, so that a wrong folder is noticed."""

    unused = [] if train_path == path else [
        str(folder) for folder in _subfolders(path) if folder not in (train_path, test_path)]
    for parent in dict.fromkeys((path, train_path, test_path)):
        unused += [str(entry) for entry in sorted(parent.iterdir()) if _is_image(entry.name)]
    unused += [f'{folder} (no images)' for folder in _subfolders(train_path) if folder.name not in classes]
    note = f'{len(classes)} classes in {train_path}: {_list(classes)}'
    return f'{note}. Not used: {_list(unused)}.' if unused else f'{note}.'


def _list(names: Sequence[str]) -> str:
    return ', '.join(names[:_MOST_NAMES]) + (', …' if len(names) > _MOST_NAMES else '')


def _subfolders(path: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones."""

    try:
        return sorted(entry for entry in path.iterdir() if not _is_hidden(entry.name) and entry.is_dir())
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        words = getattr(error, 'strerror', None) or error
        raise LthError(f'The folder {quote(str(path))} cannot be read: {words}. Give a folder with one subfolder of '
                       'images per class.') from None


def _classes(path: Path) -> list[str]:
    """Names of the subfolders that have images, sorted."""

    classes = [folder.name for folder in _subfolders(path) if next(_images_below(folder), None)]
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


def _images_below(path: Path) -> Iterator[Path]:
    """The image files in a folder and below it, without hidden ones and those in run folders of lth. LthError if one of
    the folders cannot be read: without its images, the data set would be another one.
    """

    for parent, folders, names in os.walk(path, onerror=_refuse_unreadable):
        folders[:] = [] if 'recipe.yaml' in names else [name for name in folders if not _is_hidden(name)]
        if 'recipe.yaml' not in names:
            yield from (Path(parent) / name for name in names if _is_image(name))


def _refuse_unreadable(error: OSError) -> None:
    raise LthError(f'The folder {quote(str(error.filename))} cannot be read: {error.strerror}. Change its permissions, '
                   'or move it out of the data set.') from None


def _is_hidden(name: str) -> bool:
    """Whether a file or folder was made by a program for itself, such as ._001.jpg and .ipynb_checkpoints."""

    return name.startswith('.') or name in _FOLDERS_OF_PROGRAMS


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in _IMAGE_SUFFIXES and not _is_hidden(name)


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
            with image_decoding.open_image(file) as image:
                side = min(*image.size, _LARGEST_SIDE)
                return (1 if pil_images.is_gray(image) else 3), side, side
        except image_decoding.DECODE_ERRORS:
            continue
    raise LthError(f'None of the {len(folder.files)} images can be opened, such as {folder.files[0]}.')
