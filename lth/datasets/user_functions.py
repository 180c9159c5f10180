"""Data sets of users: a function without arguments, given as `package.module:function` or `path/to/file.py:function`.

It returns a Source, or ((images, labels), (images, labels)) for training and test set. Images are uint8 of shape
(n, channels, height, width) or (n, height, width), labels are integers from 0 of shape (n,), as tensors or arrays.
"""
import functools
from pathlib import Path
from typing import Any

import torch

from lth.datasets.resizing import make_dataset
from lth.datasets.source import Dataset, Source, Split
from lth.errors import LthError
from lth.recipes.schema import DataSettings
from lth.registry import trust, user_code

_MAX_CLASSES = 100_000


def source(name: str) -> Source:
    """The source that the user's function returns, or a source of the images that it returns. The function is called
    once in a process.
    """

    trust.require_if_strict(name)
    return _cached_source(name, user_code.imports())


def call_again(name: str) -> Source:
    """The source of a second call of the function."""

    return _call(name)


@functools.cache
def _cached_source(name: str, _imports: int) -> Source:
    return _call(name)


def _call(name: str) -> Source:
    function = user_code.load(name)
    with user_code.guard(f'{name}, called without arguments,'):
        result = function()
    if isinstance(result, Source):
        return result
    try:
        train, test = (split_of_arrays(images, labels) for images, labels in result)
    except (TypeError, ValueError) as error:
        raise LthError(f'{name}: {error}. It should return ((images, labels), (images, labels)) for training and test '
                       'set: images as uint8 (n, channels, height, width), labels as integers (n,).') from None
    return source_of_splits(name, train, test)


def source_of_splits(name: str, train: Split, test: Split) -> Source:
    """The source of images and labels in memory; LthError if a class has no training image, or if the shapes or classes
    of the splits differ.
    """

    classes = int(train.labels.max()) + 1
    if missing := sorted(set(range(classes)) - set(train.labels.tolist())):
        raise LthError(f'{name}: {len(missing)} of the classes 0 … {classes - 1} have no training image, such as '
                       f'class {missing[0]}. Number the classes from 0 without gaps.')
    if test.labels.max() >= classes or train.images.shape[1:] != test.images.shape[1:]:
        raise LthError(f'{name}: training and test images differ: shapes {tuple(train.images.shape[1:])} and '
                       f'{tuple(test.images.shape[1:])}, labels up to {classes - 1} and {int(test.labels.max())}. Give '
                       'both the same shape, and each class in the training set.')

    def read(_folder: Path, _settings: DataSettings) -> Dataset:
        return make_dataset(train, test)
    _, channels, height, width = train.images.shape
    count = len(train.labels)
    return Source(f'images of {name}', (channels, height, width), classes, (count, len(test.labels)), read,
                  {'validation': max(1, count // 10)})


def split_of_arrays(images: Any, labels: Any) -> Split:
    """The split of images (n, channels, height, width) or (n, height, width) and labels (n,), tensors or arrays;
    ValueError or TypeError if images are not uint8 or labels are not integers from 0.
    """

    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    images = images.unsqueeze(1) if images.ndim == 3 else images
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f'images are {images.dtype} of shape {tuple(images.shape)}')
    if labels.shape != (len(images),) or labels.is_floating_point() or len(labels) == 0:
        raise ValueError(f'labels are {labels.dtype} of shape {tuple(labels.shape)} for {len(images)} images')
    if labels.min() < 0 or labels.max() >= _MAX_CLASSES:
        raise ValueError(f'labels lie between {int(labels.min())} and {int(labels.max())}')
    return Split(images.contiguous(), labels.to(torch.int64))
