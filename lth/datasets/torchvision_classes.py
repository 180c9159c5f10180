"""Further classification data sets of torchvision by the name of their class, `torchvision-dataset:USPS`.

To add one, write a row in _SETS. Images are decoded into memory; sets with images of several sizes are scaled to the
shape of the row, or to data.size.
"""
import functools
import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from lth.datasets import downloads, image_decoding
from lth.datasets.resizing import make_dataset
from lth.datasets.source import Dataset, Shape, Source, Split, resized_shape
from lth.errors import LthError, describe, quote, suggestion
from lth.recipes.schema import DataSettings
from lth.registry import user_code
from lth.system import lazy_import

torchvision = lazy_import.module('torchvision')

PREFIX = 'torchvision-dataset:'
Arguments = Mapping[str, Any]


class _Set(NamedTuple):
    """A class of torchvision.datasets: the shape at which its images are stored, the number of classes and of training
    and test images, and the arguments for both. `note` says which part the test images are, if there is no test set.
    """

    shape: Shape
    classes: int
    counts: tuple[int, int]
    train: Arguments
    test: Arguments
    note: str = ''


def _parts(train: str = 'train', test: str = 'test', **others: Any) -> tuple[Arguments, Arguments]:
    return {'split': train, **others}, {'split': test, **others}


def _emnist(split: str) -> tuple[Arguments, Arguments]:
    return {'split': split, 'train': True}, {'split': split, 'train': False}


_GRAY, _PHOTO = (1, 28, 28), (3, 224, 224)
_SETS = {
    'Country211': _Set(_PHOTO, 211, (31_650, 21_100), *_parts()),
    'DTD': _Set(_PHOTO, 47, (1_880, 1_880), *_parts()),
    'EMNIST/balanced': _Set(_GRAY, 47, (112_800, 18_800), *_emnist('balanced')),
    'EMNIST/byclass': _Set(_GRAY, 62, (697_932, 116_323), *_emnist('byclass')),
    'EMNIST/bymerge': _Set(_GRAY, 47, (697_932, 116_323), *_emnist('bymerge')),
    'EMNIST/digits': _Set(_GRAY, 10, (240_000, 40_000), *_emnist('digits')),
    'EMNIST/mnist': _Set(_GRAY, 10, (60_000, 10_000), *_emnist('mnist')),
    'FGVCAircraft': _Set(_PHOTO, 100, (3_334, 3_333), *_parts()),
    'Flowers102': _Set(_PHOTO, 102, (1_020, 6_149), *_parts()),
    'Food101': _Set(_PHOTO, 101, (75_750, 25_250), *_parts()),
    'GTSRB': _Set((3, 32, 32), 43, (26_640, 12_630), *_parts()),
    'Imagenette': _Set(_PHOTO, 10, (9_469, 3_925), *_parts(test='val', size='320px'),
                       'The test images are the split val, as there is no split test.'),
    'OxfordIIITPet': _Set(_PHOTO, 37, (3_680, 3_669), *_parts('trainval')),
    'PCAM': _Set((3, 96, 96), 2, (262_144, 32_768), *_parts()),
    'QMNIST': _Set(_GRAY, 10, (60_000, 60_000), {'what': 'train'}, {'what': 'test'}),
    'RenderedSST2': _Set(_PHOTO, 2, (6_920, 1_821), *_parts()),
    'STL10': _Set((3, 96, 96), 10, (5_000, 8_000), *_parts()),
    'StanfordCars': _Set(_PHOTO, 196, (8_144, 8_041), *_parts()),
    'USPS': _Set((1, 16, 16), 10, (7_291, 2_007), {'train': True}, {'train': False})}
# Data sets of lth that read the same images and verify all files.
_NAMES_OF_LTH = {'MNIST': 'mnist', 'FashionMNIST': 'fashion-mnist', 'KMNIST': 'kmnist', 'CIFAR10': 'cifar10',
                 'CIFAR100': 'cifar100', 'SVHN': 'svhn', 'ImageNet': 'imagenet', 'ImageFolder': 'folder:PATH'}
_REASONS = {
    'its labels are images or boxes (segmentation or detection), not one class for each image':
        ('Cityscapes', 'SBDataset', 'VOCSegmentation', 'VOCDetection', 'CocoDetection', 'Kitti', 'WIDERFace'),
    'its labels are texts': ('CocoCaptions', 'Flickr8k', 'Flickr30k', 'SBU'),
    'its items are videos': ('HMDB51', 'Kinetics', 'UCF101', 'MovingMNIST'),
    'its items are pairs of images': ('LFWPairs', 'PhotoTour'),
    'its images have several labels each': ('CelebA',),
    'its training and test images have different classes': ('Omniglot', 'LFWPeople'),
    'its test images have no labels': ('FER2013',)}


@functools.cache
def source(name: str) -> Source:
    """The source of a class, given without the prefix. Nothing is read. LthError says why a class cannot be used."""

    facts = _SETS.get(name)
    if facts is None:
        raise LthError(_refusal(name))
    return Source(f'images of torchvision.datasets.{name}', facts.shape, facts.classes, facts.counts,
                  partial(_read, name=name, facts=facts), {'validation': max(1, facts.counts[0] // 10)})


def _refusal(name: str) -> str:
    """Why this name is none of the data sets."""

    own, known = f'{PREFIX}{name}', [*_SETS, *_NAMES_OF_LTH]
    found = getattr(torchvision.datasets, name, None)
    if variants := [known for known in _SETS if known.startswith(f'{name}/')]:
        return f'{own}: choose one of {", ".join(PREFIX + variant for variant in variants)}.'
    if name in _NAMES_OF_LTH:
        return f'{own} is {_NAMES_OF_LTH[name]} in lth, which verifies its files. Give this name.'
    if not inspect.isclass(found):
        return f'torchvision has no data set {quote(name)} with images and one class for each{suggestion(name, known)}'
    return (f'{own} cannot be used: {_reason(name, found)}. Known are {", ".join(_SETS)}. For others, write a function '
            'that returns images and labels: path/to/file.py:function.')


def _reason(name: str, found: Any) -> str:
    for reason, names in _REASONS.items():
        if name in names:
            return reason
    if {'train', 'split'} & inspect.signature(found).parameters.keys():
        return 'it is none of those that lth knows'
    return 'it is not divided into training and test images'


def _read(folder: Path, settings: DataSettings, *, name: str, facts: _Set) -> Dataset:
    dataset, shape = getattr(torchvision.datasets, name.partition('/')[0]), resized_shape(facts.shape, settings)
    parts = []
    with downloads.locked(folder, name.partition('/')[0]):
        for arguments in (facts.train, facts.test):
            parts.append(downloads.open_or_download(dataset, folder, arguments))
    train, test = (_split(name, part, shape, facts.classes) for part in parts)
    data = make_dataset(train, test)
    return Dataset(data.train, data.test, data.mean, data.std, reader='files', note=facts.note)


def _split(name: str, items: Any, shape: Shape, classes: int) -> Split:
    """All images at this shape and their labels; LthError for an item that is not an image with a class."""

    images, labels = torch.empty(len(items), *shape, dtype=torch.uint8), list[int]()
    with user_code.guard(f'torchvision.datasets.{name}, reading its images,'):
        for row in range(len(items)):  # pylint: disable=consider-using-enumerate # it may have no iterator
            image, label = items[row]
            if not isinstance(image, Image.Image) or not isinstance(label, int) or not 0 <= label < classes:
                raise LthError(f'{PREFIX}{name}: item {row} is {type(image).__name__} with the label {quote(label)}, '
                               f'and not an image with a class from 0 to {classes - 1}. This version of torchvision '
                               'may read the data set in another way: write a function that returns images and labels.')
            try:
                images[row] = image_decoding.fit(image, shape)
            except image_decoding.DECODE_ERRORS as error:
                raise LthError(f'{PREFIX}{name}: image {row} cannot be decoded: {describe(error)}. Delete its files, '
                               'and the same command downloads them again.') from None
            labels.append(label)
    return Split(images, torch.tensor(labels, dtype=torch.int64))
