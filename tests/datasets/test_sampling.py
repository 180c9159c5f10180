"""Which pictures, in which order, seen how."""
import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from lth.datasets import sampling
from lth.recipe import DataSettings

PLAIN = DataSettings(name='x', validation=10)
MOVING = DataSettings(name='x', validation=10, crop=4, flip=True)


def test_training_and_validation_pictures_share_none_and_leave_none_out():
    training, validation = sampling.division(100, 10, 0)
    assert len(validation) == 10
    assert sorted([*training.tolist(), *validation.tolist()]) == list(range(100))


def test_the_division_is_fixed_by_the_seed():
    assert torch.equal(sampling.division(100, 10, 0)[1], sampling.division(100, 10, 0)[1])
    assert not torch.equal(sampling.division(100, 10, 0)[1], sampling.division(100, 10, 1)[1])


def test_each_epoch_has_every_picture_once_in_an_order_of_its_own():
    training = torch.arange(5, 50)
    first, second = (sampling.order(training, 0, epoch) for epoch in (0, 1))
    assert sorted(first.tolist()) == training.tolist() and not torch.equal(first, second)
    assert torch.equal(first, sampling.order(training, 0, 0))


def test_half_of_the_pictures_are_flipped_if_asked_and_none_otherwise():
    assert 450 < sampling.flips(1000, MOVING, 0, 0).sum() < 550
    assert sampling.flips(1000, PLAIN, 0, 0).sum() == 0


def test_crops_start_anywhere_in_the_padding():
    assert sorted(set(sampling.corners(2000, MOVING, 0, 0).flatten().tolist())) == list(range(9))


def test_crop_and_flip_equal_those_of_torchvision():
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    starts, mirrored = torch.tensor([[0, 3], [4, 4], [8, 1]]), torch.tensor([False, True, True])
    found = sampling.augmented(images, starts, mirrored, padding=4)
    for image, (top, left), flip, mine in zip(images, starts.tolist(), mirrored, found):
        theirs = transforms.functional.crop(transforms.functional.pad(image, 4), top, left, 8, 8)
        assert torch.equal(mine, transforms.functional.hflip(theirs) if flip else theirs)


def test_scaling_and_standardizing_equal_to_tensor_and_normalize_bit_for_bit():
    picture = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8)
    theirs = transforms.ToTensor()(Image.fromarray(np.moveaxis(picture.numpy(), 0, -1)))
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    assert torch.equal(sampling.normalized(picture, PLAIN, mean, std), theirs)
    standardized = DataSettings(name='x', normalization='standardize')
    assert torch.equal(sampling.normalized(picture, standardized, mean, std),
                       transforms.Normalize(mean.flatten().tolist(), std.flatten().tolist())(theirs))
