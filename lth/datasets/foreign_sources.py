"""Data sets that code outside of lth reads: what it returns is checked, and must be the same each time."""
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lth.datasets import user_functions
from lth.datasets.registry import DATASETS
from lth.datasets.source import Dataset, Source, Split
from lth.errors import LthError
from lth.recipes.schema import DataSettings
from lth.registry import user_code


def read(source: Source, folder: Path, settings: DataSettings) -> Dataset:
    """The data set of a source; LthError if code outside of lth raises or returns something else than a Dataset of
    this source.
    """

    if not DATASETS.is_foreign(settings.name):
        return source.read(folder, settings)
    with user_code.guard(f'The data set {settings.name}, read from its source,'):
        data = source.read(folder, settings)
        if problem := _problem(data, source):
            raise LthError(f'The data set {settings.name}: its read returns {problem}. It should return a '
                           'lth.datasets.Dataset of uint8 images (n, channels, height, width) and int64 labels (n,), '
                           'as its Source declares them.')
    return data


def second_source(source: Source, settings: DataSettings) -> Source:
    """A source that reads the images again, by a second call of the user's function if it is one."""

    if user_code.names_code(settings.name):
        # The same counts as the plan: fewer images may have been decoded.
        return replace(user_functions.call_again(settings.name), image_counts=source.image_counts)
    return source


def _problem(data: Any, source: Source) -> str:
    """What is wrong with a data set, '' if nothing is."""

    if not isinstance(data, Dataset):
        return f'{type(data).__name__}'
    for part, split in (('training', data.train), ('test', data.test)):
        if problem := _split_problem(split, source):
            return f'{problem} for {part}'
    channels = data.shape[0]
    if len(data.mean) != channels or len(data.std) != channels or not all(map(math.isfinite, (*data.mean, *data.std))):
        return f'mean {data.mean} and std {data.std} for {channels} channels'
    return f'std {data.std}, which must be positive' if min(data.std) <= 0 else ''


def _split_problem(split: Any, source: Source) -> str:
    if not isinstance(split, Split):
        return f'{type(split).__name__} instead of a Split'
    images, labels = split
    shape: tuple[int, ...] = tuple(getattr(images, 'shape', ()))
    if len(shape) != 4 or shape[0] == 0 or shape[1:] != tuple(source.shape):
        return f'images of shape {shape} instead of (n, {", ".join(map(str, source.shape))})'
    if isinstance(images, Tensor) and images.dtype != torch.uint8:
        return f'images of {images.dtype}'
    return _label_problem(labels, shape[0], source.classes)


def _label_problem(labels: Any, count: int, classes: int) -> str:
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (count,):
        form = f'{labels.dtype} {tuple(labels.shape)}' if isinstance(labels, Tensor) else type(labels).__name__
        return f'labels as {form} for {count} images'
    within = bool(labels.min() >= 0) and bool(labels.max() < classes)
    return '' if within else f'labels that are not between 0 and {classes - 1}'
