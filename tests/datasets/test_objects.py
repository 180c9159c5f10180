"""Data sets given as Python objects: arrays and torch data sets, and the names they get."""
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from lth.datasets import DATASETS
from lth.datasets.arrays import to_uint8
from lth.datasets.objects import register_data
from lth.errors import LthError
from lth.recipes.schema import DataSettings

IMAGES = torch.randint(0, 256, (12, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
ARRAYS = IMAGES, LABELS, IMAGES[:6], LABELS[:6]


class Items(Dataset[tuple[object, int]]):
    """A data set of these items."""

    def __init__(self, images: list[object]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[object, int]:
        return self._images[row], row % 3


class RandomFlips(Items):
    """The same, with images that are flipped at random."""

    def __getitem__(self, row: int) -> tuple[object, int]:
        image = self._images[row]
        assert isinstance(image, Tensor)
        return (image.flip(-1) if torch.rand(()) < 0.5 else image), row % 3


def stored(name: str) -> tuple[Tensor, Tensor]:
    """Training images and labels that a name stands for."""

    images, labels = DATASETS.find(name).read(Path(), DataSettings(name=name)).train
    assert isinstance(images, Tensor)
    return images, labels


def test_tensors_arrays_and_k_255_floats_are_the_same_data():
    name = register_data(ARRAYS)
    images, labels = stored(name)
    assert torch.equal(images, IMAGES) and torch.equal(labels, LABELS)
    assert register_data([array.numpy() for array in ARRAYS]) == name
    assert register_data((IMAGES / 255, LABELS, IMAGES[:6].numpy() / 255., LABELS[:6].tolist())) == name


def test_names_of_data_differ_with_a_pixel_and_with_a_label():
    pixel, label = IMAGES.clone(), LABELS.clone()
    pixel[0, 0, 0, 0] += 1
    label[:2] = label[:2].flip(0)
    names = {register_data(data) for data in (
        ARRAYS, (pixel, *ARRAYS[1:]), (IMAGES, label, *ARRAYS[2:]), (*ARRAYS[:3], ARRAYS[3].flip(0)))}
    assert len(names) == 4


def test_changes_of_an_array_after_registration_have_no_effect():
    images = IMAGES.numpy().copy()
    name = register_data((images, *ARRAYS[1:]))
    images[:] = 0
    assert torch.equal(stored(name)[0], IMAGES)


@pytest.mark.parametrize('image_of', [
    lambda image: image, lambda image: image.numpy(), lambda image: image / 255,
    lambda image: Image.fromarray(image.permute(1, 2, 0).numpy())])
def test_torch_data_sets_are_read_into_memory(image_of):
    train, test = (Items([image_of(image) for image in images]) for images in (IMAGES, IMAGES[:6]))
    assert register_data((train, test)) == register_data(ARRAYS)


def test_gray_pil_images_have_one_channel():
    gray = Items([Image.fromarray(image[0].numpy()) for image in IMAGES])
    assert DATASETS.find(register_data((gray, gray))).shape == (1, 4, 5)


def test_tensor_data_sets_are_torch_data_sets():
    assert register_data((TensorDataset(*ARRAYS[:2]), TensorDataset(*ARRAYS[2:]))) == register_data(ARRAYS)


def test_random_transforms_are_refused():
    with pytest.raises(LthError, match=r'returns another item \d+ when it is read again, as with random transforms'):
        register_data((RandomFlips(list(IMAGES)), Items(list(IMAGES))))


def test_normalized_images_are_refused():
    with pytest.raises(LthError, match='floats between .* and not all of them are k/255'):
        to_uint8('The images', (IMAGES / 255 - 0.5) / 0.25)
    with pytest.raises(LthError, match='not all of them are k/255'):
        to_uint8('The images', numpy.array([numpy.nan, 0.5]))


@pytest.mark.parametrize(('data', 'message'), [
    (7, 'The data are of type int. Give the name of a data set, four arrays'),
    (ARRAYS[:3], 'the data are of type tuple and have 3 parts'),
    ((IMAGES, LABELS), 'The given data, training set: the data are of type Tensor'),
    ((IMAGES.to(torch.int64), *ARRAYS[1:]), 'the images are torch.int64. Convert them to uint8'),
    ((IMAGES, LABELS[:5], *ARRAYS[2:]), r'the labels have the shape \(5,\) for 12 images'),
    ((IMAGES, LABELS * 2, *ARRAYS[2:]), 'have no training image'),
    ((IMAGES, object(), *ARRAYS[2:]), r'The given data, training set: the labels have the shape \(\)')])
def test_other_forms_of_data_are_refused_with_the_reason(data, message):
    with pytest.raises(LthError, match=message):
        register_data(data)


def test_a_data_set_that_raises_or_has_no_length_is_refused():
    class Broken(Items):
        def __getitem__(self, row: int) -> tuple[object, int]:
            raise OSError('no such file')

    class Endless(IterableDataset[Tensor]):
        def __iter__(self) -> Iterator[Tensor]:
            return iter(IMAGES)

    for data_set, message in ((Broken([1]), 'The given data: reading the data raised OSError: no such file'),
                              (Endless(), 'Endless has no length')):
        with pytest.raises(LthError, match=message):
            register_data((data_set, data_set))
