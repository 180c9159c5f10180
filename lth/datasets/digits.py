"""1,797 real handwritten digits of 8×8 pixels (UCI, Alpaydin & Kaynak 1998), shipped with scikit-learn: no download."""
from pathlib import Path

import torch

from lth.datasets.registry import DATASETS
from lth.datasets.source import Dataset, Source, Split
from lth.recipes.schema import DataSettings

_TEST = 360


def _read(_folder: Path, _settings: DataSettings) -> Dataset:
    """The last 360 pictures are the test set: they come from other writers than most of the training pictures."""

    # Here, for it takes 1 s that only this data set needs.
    from sklearn.datasets import load_digits  # pylint: disable=import-outside-toplevel
    pictures, classes = load_digits(return_X_y=True)
    images = torch.from_numpy(pictures).mul(255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)
    labels = torch.from_numpy(classes).to(torch.int64)
    train, test = Split(images[:-_TEST], labels[:-_TEST]), Split(images[-_TEST:], labels[-_TEST:])
    return Dataset(train, test, mean=(0.3054,), std=(0.3753,))


DATASETS.register('digits')(Source(
    summary='handwritten digits, ships with scikit-learn', shape=(1, 8, 8), classes=10, image_counts=(1797 - _TEST, _TEST),
    read=_read, settings={'validation': 143}))
