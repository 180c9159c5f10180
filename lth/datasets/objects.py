"""Data sets given as Python objects: four arrays, or a pair of torch data sets that are read into memory."""
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from lth.datasets import user_functions
from lth.datasets.source import Split
from lth.errors import LthError
from lth.registry import objects, user_code

_FORMS = ('Give the name of a data set, four arrays (train_images, train_labels, test_images, test_labels), or a pair '
          '(train, test) of torch.utils.data.Dataset.')


def register_data(data: Sequence[Any]) -> str:
    """Return a name for the data, for use wherever a data set is named. It has a digest of all images and labels.

    Images are uint8 or float values k/255, of shape (n, channels, height, width) or (n, height, width); labels are
    whole numbers from 0. Raises LthError if the data have another form, or if a torch data set returns different items
    when it is read again.
    """

    if not isinstance(data, (tuple, list)) or len(data) not in (2, 4):
        raise LthError(f'The data are of type {type(data).__name__}. {_FORMS}')
    if len(data) == 2:
        data = [array for dataset in data for array in _read(dataset)]
    try:
        train, test = (user_functions.split_of_arrays(to_uint8(images), labels)
                       for images, labels in (data[:2], data[2:]))
    except (TypeError, ValueError, RuntimeError) as error:
        raise LthError(f'The given data: {error}. {_FORMS}') from None
    source = user_functions.source_of_splits('the given data', train, test)
    return objects.register('data', _digest(train, test), source)


def to_uint8(images: Any) -> Tensor:
    """Return a copy of the images as uint8. Float images must be k/255 for whole numbers k, as torchvision's ToTensor
    makes them.
    """

    with user_code.guard('The given images'):
        tensor = torch.as_tensor(images)
    if not tensor.is_floating_point():
        return tensor.clone()
    scaled = tensor.to(torch.float64) * 255
    levels = scaled.round()
    if not bool(((scaled - levels).abs() < 1e-3).all()) or levels.min() < 0 or levels.max() > 255:
        raise LthError(f'The given images are floats between {float(tensor.min()):.4g} and {float(tensor.max()):.4g}, '
                       'and not all of them are k/255 for a whole number k from 0 to 255, for example because they '
                       'were normalized or resized. lth stores images as uint8 and normalizes them itself: give them '
                       "without normalization, and set data.normalization to 'standardize' if you want it.")
    return levels.to(torch.uint8)


def _read(dataset: Any) -> tuple[Tensor, Tensor]:
    """All images and labels of a torch data set, read twice; LthError if both readings differ."""

    name = type(dataset).__name__
    if not isinstance(dataset, TorchDataset) or not hasattr(dataset, '__len__'):
        raise LthError(f'The data hold an object of type {name}, which has no length or is no torch data set. {_FORMS}')
    with user_code.guard(f'Reading the data set {name}'):
        items = [_item(dataset[row]) for row in range(len(dataset))]
        for row, (image, label) in enumerate(items):
            again = _item(dataset[row])
            if not torch.equal(image, again[0]) or label != again[1]:
                raise LthError(f'The data set {name} returns another item {row} when it is read again, as with random '
                               'transforms. lth reads images once and augments them itself, the same way in every run: '
                               "remove the random transforms, and use the settings 'data.crop', 'data.flip' or "
                               "'data.resized_crop'.")
        return torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])


def _item(item: Any) -> tuple[Tensor, int]:
    """An image (channels, height, width) and its label, from an item of a torch data set."""

    image, label = item
    if isinstance(image, (Tensor, numpy.ndarray)):
        return torch.as_tensor(image), int(label)
    pixels = torch.from_numpy(numpy.array(image))  # a PIL image: (height, width) or (height, width, channels)
    return pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels, int(label)


def _digest(*splits: Split) -> str:
    digest = hashlib.blake2b(digest_size=4)
    for images, labels in splits:
        assert isinstance(images, Tensor)
        digest.update(repr(tuple(images.shape)).encode())
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
    return digest.hexdigest()
