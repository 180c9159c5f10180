"""Which pictures, in which order, seen how."""
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from lth.datasets import sampling
from lth.recipes.schema import DataSettings

PLAIN = DataSettings(name='x', validation=10)
MOVING = DataSettings(name='x', validation=10, crop=4, flip=True)


def test_training_and_validation_pictures_share_none_and_leave_none_out():
    training, validation = sampling.split_indices(100, PLAIN, 0)
    assert len(validation) == 10
    assert sorted([*training.tolist(), *validation.tolist()]) == list(range(100))


def test_the_division_is_fixed_by_the_seed():
    assert torch.equal(sampling.split_indices(100, PLAIN, 0)[1], sampling.split_indices(100, PLAIN, 0)[1])
    assert not torch.equal(sampling.split_indices(100, PLAIN, 0)[1], sampling.split_indices(100, PLAIN, 1)[1])


def test_each_epoch_has_every_picture_once_in_an_order_of_its_own():
    training = torch.arange(5, 50)
    first, second = (sampling.epoch_order(training, 0, epoch) for epoch in (0, 1))
    assert sorted(first.tolist()) == training.tolist() and not torch.equal(first, second)
    assert torch.equal(first, sampling.epoch_order(training, 0, 0))


def test_half_of_the_pictures_are_flipped_if_asked_and_none_otherwise():
    assert 450 < sampling.flips(1000, MOVING, 0, 0).sum() < 550
    assert sampling.flips(1000, PLAIN, 0, 0).sum() == 0


def test_crops_start_anywhere_in_the_padding():
    assert sorted(set(sampling.crop_boxes(2000, MOVING, 0, 0, room=8).flatten().tolist())) == list(range(9))


def test_resized_crops_have_the_area_and_ratio_of_the_recipe_and_lie_inside():
    settings = DataSettings(name='x', resized_crop=0.2)
    boxes = sampling.crop_boxes(5000, settings, 0, 0, room=0)
    (top, left, height, width) = boxes.unbind(1)
    area, ratio = height * width, width / height
    assert 0.2 - 1e-5 < area.min() < 0.22 and 0.95 < area.max() <= 1
    assert 0.75 - 1e-5 < ratio.min() < 0.77 and 1.3 < ratio.max() < 4 / 3 + 1e-5
    assert top.min() >= 0 and left.min() >= 0 and (top + height).max() <= 1 + 1e-6 and (left + width).max() <= 1 + 1e-6
    assert torch.equal(boxes, sampling.crop_boxes(5000, settings, 0, 0, room=0))


def test_a_resized_crop_of_whole_pixels_is_those_pixels_and_mirrors_them():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    boxes = torch.tensor([[2 / 8, 1 / 8, 4 / 8, 4 / 8]]).expand(2, 4)
    found = sampling.augment(images, boxes, torch.tensor([False, True]), padding=0, shown=(4, 4))
    expected = images[:, :, 2:6, 1:5].float()
    assert torch.allclose(found[0], expected[0], atol=1e-3)
    assert torch.allclose(found[1], expected[1].flip(-1), atol=1e-3)


def test_a_resized_crop_equals_torchvisions_without_antialiasing():
    images = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    boxes = torch.tensor([[3 / 16, 2 / 16, 7 / 16, 9 / 16]])
    found = sampling.augment(images, boxes, torch.tensor([False]), padding=0, shown=(12, 12))
    theirs = transforms.functional.resized_crop(images.float(), 3, 2, 7, 9, [12, 12], antialias=False)
    inner = (..., slice(1, -1), slice(1, -1))  # at its edge torchvision repeats the box's pixels, we go on to the next
    assert torch.allclose(found[inner], theirs[inner], atol=1e-2)


def test_the_middle_is_shown_where_nothing_moves():
    images = torch.arange(36).view(1, 1, 6, 6)
    assert sampling.center_crop(images, (2, 4)).flatten().tolist() == [13, 14, 15, 16, 19, 20, 21, 22]


def test_crop_and_flip_equal_those_of_torchvision():
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    starts, mirrored = torch.tensor([[0, 3], [4, 4], [8, 1]]), torch.tensor([False, True, True])
    found = sampling.augment(images, starts, mirrored, padding=4, shown=(8, 8))
    for image, (top, left), flip, mine in zip(images, starts.tolist(), mirrored, found):
        theirs = transforms.functional.crop(transforms.functional.pad(image, 4), top, left, 8, 8)
        assert torch.equal(mine, transforms.functional.hflip(theirs) if flip else theirs)


def test_scaling_and_standardizing_equal_to_tensor_and_normalize_bit_for_bit():
    picture = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8)
    theirs = transforms.ToTensor()(Image.fromarray(np.moveaxis(picture.numpy(), 0, -1)))
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    assert torch.equal(sampling.normalize(picture, PLAIN, mean, std), theirs)
    standardized = DataSettings(name='x', normalization='standardize')
    assert torch.equal(sampling.normalize(picture, standardized, mean, std),
                       transforms.Normalize(mean.flatten().tolist(), std.flatten().tolist())(theirs))


def test_a_share_of_the_training_pictures_leaves_the_validation_pictures_as_they_are():
    whole, half = (sampling.split_indices(100, DataSettings(name='any', validation=10, share=share), 3)
                   for share in (1., 0.5))
    assert torch.equal(whole[1], half[1]) and len(half[0]) == 45
    assert set(half[0].tolist()) < set(whole[0].tolist())


def test_random_labels_are_of_all_classes_alike_and_repeat():
    labels = torch.zeros(10_000, dtype=torch.int64)
    drawn = sampling.random_labels(labels, 4)
    assert torch.equal(drawn, sampling.random_labels(labels, 4)) and not labels.any()
    assert torch.bincount(drawn, minlength=4).tolist() == pytest.approx([2500] * 4, rel=0.1)
