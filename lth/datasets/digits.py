"""1,797 real handwritten digits of 8×8 pixels (UCI, Alpaydin & Kaynak 1998), part of scikit-learn: no download."""
from pathlib import Path

import torch

from lth.datasets.registry import DATASETS
from lth.datasets.source import Dataset, Source, Split
from lth.recipes.schema import DataSettings
from lth.system import lazy_import

sklearn_datasets = lazy_import.module('sklearn.datasets')

_TEST = 360


def _read(_folder: Path, _settings: DataSettings) -> Dataset:
    """The last 360 images are the test set: other people wrote them than most of the training images."""

    pixels, classes = sklearn_datasets.load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).mul(255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)
    labels = torch.from_numpy(classes).to(torch.int64)
    train, test = Split(images[:-_TEST], labels[:-_TEST]), Split(images[-_TEST:], labels[-_TEST:])
    return Dataset(train, test, mean=(0.3054,), std=(0.3753,))


DATASETS.register('digits')(Source(
    summary='handwritten digits, part of scikit-learn', shape=(1, 8, 8), classes=10,
    image_counts=(1797 - _TEST, _TEST), read=_read, settings={'validation': 143}))
