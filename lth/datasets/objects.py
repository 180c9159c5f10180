"""Data sets given as Python objects: arrays, or torch data sets that are read into memory."""
import hashlib
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lth.datasets import given_data
from lth.datasets.source import Split
from lth.errors import LthError
from lth.registry import objects


def register_data(data: Sequence[Any]) -> str:
    """A name for the data, for use wherever a data set is named. It has a digest of all images and labels.

    Images are uint8 or float values k/255, of shape (n, channels, height, width) or (n, height, width); labels are
    whole numbers from 0. Raises LthError if the data have another form, or if a torch data set returns different items
    when it is read again.
    """

    if not isinstance(data, (tuple, list)):
        raise LthError(f'The data are of type {type(data).__name__}. Give the name of a data set, {given_data.FORMS}.')
    train, test = map(_copy, given_data.splits('The given data', data))
    source = given_data.source_of_splits('the given data', train, test)
    return objects.register('data', _digest(train, test), source)


def _copy(split: Split) -> Split:
    """The split with images of its own: the arrays of the user may be changed later."""

    assert isinstance(split.images, Tensor)
    return split._replace(images=split.images.clone())


def _digest(*splits: Split) -> str:
    digest = hashlib.blake2b(digest_size=4)
    for images, labels in splits:
        assert isinstance(images, Tensor)
        digest.update(repr(tuple(images.shape)).encode())
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
    return digest.hexdigest()
