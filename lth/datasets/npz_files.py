"""A data set in one npz file in MedMNIST's form, `npz:FILE`: six arrays, `train_images`, `train_labels` and so on.

Images are uint8, (n, height, width) or (n, height, width, channels) with 1 or 3 channels; labels are integers, (n,) or
(n, 1). Without `test_images` the validation images are the test set. Arrays of Python objects are never read.
"""
import functools
import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy_format

from lth.datasets.resizing import make_dataset
from lth.datasets.source import Dataset, Shape, Source, Split
from lth.errors import LthError, excerpt, quote
from lth.recipes.schema import DataSettings
from lth.system import reading

PREFIX = 'npz:'
_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
           MemoryError)
_FORM = 'It needs train_images, train_labels, test_images and test_labels (or val_images and val_labels)'


class _Member(NamedTuple):
    """An array in the file as its header declares it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class _File(NamedTuple):
    """What the headers say: the shape of an image, whether channels come last in the arrays, which part is the test
    set.
    """

    path: Path
    shape: Shape
    has_channels: bool
    test: str
    note: str


@functools.cache
def source(path: str) -> Source:
    """The source of a file. Only the headers and the labels are read."""

    if not path.strip():
        raise LthError('npz: has no path. Write npz:FILE, such as npz:./pathmnist.npz.')
    file = Path(path).expanduser()
    reading.require_file(file, 'Give the npz file of the data set, such as npz:./pathmnist.npz.')
    members = _members(file)
    test = _test_part(file, members)
    shape = _image_shape(file, members, test)
    unused = ['val'] if test == 'test' and 'val_images' in members else []
    note = 'val_images are not used: validation images are taken from train_images.' if unused else ''
    note = 'The test images are val_images, as there are no test_images.' if test == 'val' else note
    content = _File(file, shape, len(members['train_images'].shape) == 4, test, note)
    train, tested = _labels(content, 'train', members), _labels(content, test, members)
    classes = int(max(train.max(), tested.max())) + 1
    _require_classes(file, train, tested)
    return Source(f'images in {path}', shape, classes, (len(train), len(tested)), partial(_read, content=content),
                  {'validation': max(1, len(train) // 10)})


def _read(_folder: Path, _settings: DataSettings, *, content: _File) -> Dataset:
    members = _members(content.path)
    train, test = (_split(content, part, members) for part in ('train', content.test))
    data = make_dataset(train, test)
    return Dataset(data.train, data.test, data.mean, data.std, note=content.note)


def _split(content: _File, part: str, members: Mapping[str, _Member]) -> Split:
    images = torch.from_numpy(_array(content.path, f'{part}_images'))
    images = images.permute(0, 3, 1, 2) if content.has_channels else images.unsqueeze(1)
    return Split(images.contiguous(), torch.from_numpy(_labels(content, part, members)))


def _members(file: Path) -> dict[str, _Member]:
    """The arrays in the file by name, from their headers; LthError if it is not an npz file."""

    members = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.endswith('.npy'):
                    with archive.open(name) as stream:
                        members[name.removesuffix('.npy')] = _header(stream)
    except _ERRORS as error:
        raise LthError(f'{file} is not an npz file, or it is cut off: {excerpt(error)}. Download it again, or write it '
                       'with numpy.savez.') from None
    return members


def _header(stream: Any) -> _Member:
    read = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    shape, _, dtype = read[npy_format.read_magic(stream)](stream)
    return _Member(shape, dtype)


def _test_part(file: Path, members: Mapping[str, _Member]) -> str:
    """`test`, or `val` if there are no test images. LthError if arrays are missing."""

    test = 'test' if 'test_images' in members else 'val'
    needed = [f'{part}_{kind}' for part in ('train', test) for kind in ('images', 'labels')]
    if missing := [name for name in needed if name not in members]:
        raise LthError(f'{file} has no {missing[0]}. {_FORM}; it has {quote(sorted(members))}.')
    return test


def _image_shape(file: Path, members: Mapping[str, _Member], test: str) -> Shape:
    """(channels, height, width) of the images; LthError if they are not gray or color images of one shape."""

    for part in ('train', test):
        shape, dtype = members[f'{part}_images']
        is_image = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
        if dtype != np.uint8 or not is_image or 0 in shape:
            raise LthError(f'{file}: {part}_images are {dtype} of shape {shape}. They should be uint8 of shape (n, '
                           'height, width) or (n, height, width, channels), with 1 or 3 channels and at least one '
                           'image.')
    train, tested = members['train_images'].shape[1:], members[f'{test}_images'].shape[1:]
    if train != tested:
        raise LthError(f'{file}: train_images have the shape {train} and {test}_images {tested}, without their number. '
                       'Give all images the same shape.')
    return (train[2] if len(train) == 3 else 1), train[0], train[1]


def _labels(content: _File, part: str, members: Mapping[str, _Member]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The labels of a part, (n,); LthError if they are not one class number for each image."""

    name, count = f'{part}_labels', members[f'{part}_images'].shape[0]
    shape, dtype = members[name]
    if len(shape) == 2 and shape[1] > 1:
        raise LthError(f'{content.path}: {name} have {shape[1]} columns, so an image has several labels. lth needs one '
                       'class for each image: choose a data set that is not multi-label.')
    if shape not in ((count,), (count, 1)) or dtype.kind not in 'iu':
        raise LthError(f'{content.path}: {name} are {dtype} of shape {shape} for {count:,} images. They should be '
                       'integers of shape (n,) or (n, 1).')
    labels = _array(content.path, name).reshape(-1)
    if labels.min() < 0 or labels.max() > 100_000:
        raise LthError(f'{content.path}: {name} lie between {labels.min()} and {labels.max()}. Number the classes from '
                       '0.')
    return labels.astype(np.int64)


def _require_classes(file: Path, train: np.ndarray[Any, Any], test: np.ndarray[Any, Any]) -> None:
    present = set(train.tolist())
    if missing := sorted(set(range(max(present) + 1)) - present):
        raise LthError(f'{file}: class {missing[0]} has no image in train_images. Number the classes from 0 without '
                       'gaps.')
    if extra := sorted(set(test.tolist()) - present):
        raise LthError(f'{file}: class {extra[0]} of the test images has no image in train_images.')


def _array(file: Path, name: str) -> np.ndarray[Any, Any]:
    """An array of the file; LthError if it is cut off or corrupt."""

    try:
        with np.load(file, allow_pickle=False) as archive:
            array: np.ndarray[Any, Any] = archive[name]
    except _ERRORS as error:
        raise LthError(f'{file}: {name} cannot be read: {excerpt(error)}. Download the file again, or write it with '
                       'numpy.savez.') from None
    return array
