"""Data sets in the forms in which users have them: four arrays, two pairs of arrays, or two torch data sets, which are
read into memory.
"""
from collections.abc import Iterator, Sequence, Sized
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from lth.datasets import arrays
from lth.datasets.resizing import make_dataset
from lth.datasets.source import Dataset, Source, Split
from lth.errors import LthError
from lth.recipes.schema import DataSettings
from lth.registry import user_code

FORMS = ('four arrays (train_images, train_labels, test_images, test_labels), two pairs ((images, labels), (images, '
         'labels)), or a pair (train, test) of torch.utils.data.Dataset')


def splits(what: str, data: Any) -> tuple[Split, Split]:
    """Training and test set of data in one of the forms. `what` they are, for messages. LthError with the reason if
    they have another form, if an array cannot be converted, or if a torch data set returns different items when it is
    read again.
    """

    with user_code.guard(f'{what}: reading the data'):
        parts = list(data) if isinstance(data, (Sequence, Iterator)) and not isinstance(data, str) else []
        if len(parts) == 4:
            parts = [parts[:2], parts[2:]]
        if len(parts) != 2:
            raise LthError(f'{what}: the data are {_described(data, parts)}. Give {FORMS}.')
        train, test = (_split(f'{what}, {part}', value) for part, value in zip(('training set', 'test set'), parts))
    return train, test


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


def _split(what: str, part: Any) -> Split:
    if isinstance(part, TorchDataset):
        return _read(what, part)
    if isinstance(part, (list, tuple)) and len(part) == 2:
        return arrays.make_split(what, *part)
    raise LthError(f'{what}: the data are {_described(part, part)}. Give {FORMS}.')


def _described(data: Any, parts: Any) -> str:
    """The type of data that have none of the forms, and how many parts they have."""

    is_list = isinstance(data, (list, tuple))
    return f'of type {type(data).__name__}' + (f' and have {len(parts)} parts' if is_list else '')


def _read(what: str, dataset: Any) -> Split:
    """All images and labels of a torch data set, read twice; LthError if both readings differ."""

    if not isinstance(dataset, Sized):
        raise LthError(f'{what}: {type(dataset).__name__} has no length. Give a data set with __len__ and __getitem__.')
    images, labels = [], []
    for row in range(len(dataset)):
        image, label = _item(what, dataset, row)
        again, label_again = _item(what, dataset, row)
        if not torch.equal(arrays.to_tensor(what, image), arrays.to_tensor(what, again)) or label != label_again:
            raise LthError(f'{what}: {type(dataset).__name__} returns another item {row} when it is read again, as '
                           'with random transforms. lth reads images once and augments them itself, the same way in '
                           "every run: remove the random transforms, and use the settings 'data.crop', 'data.flip' or "
                           "'data.resized_crop'.")
        images.append(image)
        labels.append(label)
    return arrays.make_split(what, images, labels)


def _item(what: str, dataset: Any, row: int) -> tuple[Any, Any]:
    """Image and label of an item."""

    item = dataset[row]
    if not isinstance(item, (list, tuple)) or len(item) != 2:
        raise LthError(f'{what}: item {row} of {type(dataset).__name__} is of type {type(item).__name__}, and not a '
                       'pair (image, label). Let __getitem__ return such pairs.')
    image, label = item
    if not isinstance(image, (Tensor, Image.Image)):
        image = arrays.to_tensor(f'{what}: the images', image)
    return image, label.item() if hasattr(label, 'item') else label
