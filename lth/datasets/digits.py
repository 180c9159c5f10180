"""1,797 real handwritten digits of 8×8 pixels (UCI, Alpaydin & Kaynak 1998), part of scikit-learn: no download."""
import importlib.util
from pathlib import Path

import numpy as np
import torch

from lth.datasets.registry import DATASETS
from lth.datasets.source import Dataset, Source, Split
from lth.recipes.schema import DataSettings

_TEST = 360


def _read(_folder: Path, _settings: DataSettings) -> Dataset:
    """The last 360 images are the test set: other people wrote them than most of the training images."""

    rows = torch.from_numpy(np.loadtxt(_file(), delimiter=','))
    images = rows[:, :-1].mul(255 / 16).round().to(torch.uint8).reshape(-1, 1, 8, 8)
    labels = rows[:, -1].to(torch.int64)
    train, test = Split(images[:-_TEST], labels[:-_TEST]), Split(images[-_TEST:], labels[-_TEST:])
    return Dataset(train, test, mean=(0.3054,), std=(0.3753,))


def _file() -> Path:
    """The file that scikit-learn's load_digits reads: in each line 64 pixels from 0 to 16 and the label. Importing
    scikit-learn would take a third of the time in which a process starts.
    """

    package = importlib.util.find_spec('sklearn')
    assert package and package.origin, 'scikit-learn is a dependency of lth'
    return Path(package.origin).parent / 'datasets' / 'data' / 'digits.csv.gz'


DATASETS.register('digits')(Source(
    summary='handwritten digits, part of scikit-learn', shape=(1, 8, 8), classes=10,
    image_counts=(1797 - _TEST, _TEST), read=_read, settings={'validation': 143},
    class_names=tuple('0123456789')))
