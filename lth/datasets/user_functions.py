"""Data sets of the user's own code: a function without arguments, named `package.module:function`.

It returns a Source, or two pairs, (images, labels) for training and for testing: uint8 (n, channels, height, width) or
(n, height, width), and whole numbers from 0 (n,); tensors or arrays.
"""
import functools
from pathlib import Path
from typing import Any

import torch

from lth.datasets.resizing import make_dataset
from lth.datasets.source import Dataset, Source, Split
from lth.errors import LthError
from lth.recipes.schema import DataSettings
from lth.registry import user_code

_MOST_CLASSES = 100_000


@functools.cache
def source(name: str) -> Source:
    """The source that the user's function gives."""

    function = user_code.load(name)
    with user_code.guard(f'{name}, called without arguments,'):
        given = function()
    if isinstance(given, Source):
        return given
    try:
        train, test = (split_of_arrays(images, labels) for images, labels in given)
    except (TypeError, ValueError) as error:
        raise LthError(f'{name}: {error}. It should return ((images, labels), (images, labels)), for training and for '
                       'testing: uint8 (n, channels, height, width) and whole numbers (n,).') from None
    return source_of_splits(name, train, test)


def source_of_splits(name: str, train: Split, test: Split) -> Source:
    """The source of images and labels in memory; LthError if classes have gaps or the splits do not fit each other."""

    classes = int(train.labels.max()) + 1
    if missing := sorted(set(range(classes)) - set(train.labels.tolist())):
        raise LthError(f'{name}: {len(missing)} of the classes 0 … {classes - 1} have no training image, such as '
                       f'{missing[0]}: number the classes from 0 without gaps.')
    if test.labels.max() >= classes or train.images.shape[1:] != test.images.shape[1:]:
        raise LthError(f'{name}: training and test images differ: shapes {tuple(train.images.shape[1:])} and '
                       f'{tuple(test.images.shape[1:])}, classes up to {classes - 1} and {int(test.labels.max())}.')

    def read(_folder: Path, _settings: DataSettings) -> Dataset:
        return make_dataset(train, test)
    _, channels, height, width = train.images.shape
    count = len(train.labels)
    return Source(f'images of {name}', (channels, height, width), classes, (count, len(test.labels)), read,
                  {'validation': max(1, count // 10)})


def split_of_arrays(images: Any, labels: Any) -> Split:
    """The split of images (n, channels, height, width) or (n, height, width) and labels (n,), tensors or arrays;
    ValueError or TypeError if they are no images of uint8 with labels from 0.
    """

    pictures, classes = torch.as_tensor(images), torch.as_tensor(labels)
    pictures = pictures.unsqueeze(1) if pictures.ndim == 3 else pictures
    if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] not in (1, 3):
        raise ValueError(f'images are {pictures.dtype} of shape {tuple(pictures.shape)}')
    if classes.shape != (len(pictures),) or classes.is_floating_point() or len(classes) == 0:
        raise ValueError(f'labels are {classes.dtype} of shape {tuple(classes.shape)} for {len(pictures)} images')
    if classes.min() < 0 or classes.max() >= _MOST_CLASSES:
        raise ValueError(f'labels lie between {int(classes.min())} and {int(classes.max())}, which number no classes')
    return Split(pictures.contiguous(), classes.to(torch.int64))
