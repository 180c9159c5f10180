"""Training and validation split, order of an epoch, crops, flips and normalization."""
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from lth.datasets import sampling
from lth.recipes.schema import DataSettings

PLAIN = DataSettings(name='x', validation=10)
AUGMENTED = DataSettings(name='x', validation=10, crop=4, flip=True)


def test_training_and_validation_split_are_disjoint_and_cover_all_images():
    training, validation = sampling.split_indices(100, PLAIN, 0)
    assert len(validation) == 10
    assert sorted([*training.tolist(), *validation.tolist()]) == list(range(100))


def test_the_split_depends_on_the_seed_only():
    assert torch.equal(sampling.split_indices(100, PLAIN, 0)[1], sampling.split_indices(100, PLAIN, 0)[1])
    assert not torch.equal(sampling.split_indices(100, PLAIN, 0)[1], sampling.split_indices(100, PLAIN, 1)[1])


def test_each_epoch_has_every_image_once_in_a_different_order():
    training = torch.arange(5, 50)
    first, second = (sampling.epoch_order(training, 0, epoch) for epoch in (0, 1))
    assert sorted(first.tolist()) == training.tolist() and not torch.equal(first, second)
    assert torch.equal(first, sampling.epoch_order(training, 0, 0))


def test_half_of_the_images_are_flipped_with_the_flip_setting_and_none_without():
    assert 450 < sampling.flips(1000, AUGMENTED, 0, 0).sum() < 550
    assert sampling.flips(1000, PLAIN, 0, 0).sum() == 0


def test_crops_start_at_every_position_within_the_margin():
    boxes = sampling.crop_boxes(2000, AUGMENTED, 0, 0, margin=8)
    assert sorted(set(boxes.flatten().tolist())) == list(range(9))


def test_resized_crops_have_the_area_and_ratio_of_the_recipe_and_lie_inside_the_image():
    settings = DataSettings(name='x', resized_crop=0.2)
    boxes = sampling.crop_boxes(5000, settings, 0, 0, margin=0)
    (top, left, height, width) = boxes.unbind(1)
    area, ratio = height * width, width / height
    assert 0.2 - 1e-5 < area.min() < 0.22 and 0.95 < area.max() <= 1
    assert 0.75 - 1e-5 < ratio.min() < 0.77 and 1.3 < ratio.max() < 4 / 3 + 1e-5
    assert top.min() >= 0 and left.min() >= 0 and (top + height).max() <= 1 + 1e-6 and (left + width).max() <= 1 + 1e-6
    assert torch.equal(boxes, sampling.crop_boxes(5000, settings, 0, 0, margin=0))


def test_a_resized_crop_at_pixel_boundaries_returns_these_pixels_and_can_flip_them():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    boxes = torch.tensor([[2 / 8, 1 / 8, 4 / 8, 4 / 8]]).expand(2, 4)
    crops = sampling.augment(images, boxes, torch.tensor([False, True]), padding=0, size=(4, 4))
    expected = images[:, :, 2:6, 1:5].float()
    assert torch.allclose(crops[0], expected[0], atol=1e-3)
    assert torch.allclose(crops[1], expected[1].flip(-1), atol=1e-3)


def test_a_resized_crop_equals_torchvisions_without_antialiasing():
    images = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    boxes = torch.tensor([[3 / 16, 2 / 16, 7 / 16, 9 / 16]])
    crops = sampling.augment(images, boxes, torch.tensor([False]), padding=0, size=(12, 12))
    expected = transforms.functional.resized_crop(images.float(), 3, 2, 7, 9, [12, 12], antialias=False)
    # At its edge torchvision repeats pixels of the box; sampling interpolates with the pixels outside of it.
    inner = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(crops[inner], expected[inner], atol=1e-2)


def test_center_crop_returns_the_middle_of_an_image():
    images = torch.arange(36).view(1, 1, 6, 6)
    assert sampling.center_crop(images, (2, 4)).flatten().tolist() == [13, 14, 15, 16, 19, 20, 21, 22]


def test_crop_and_flip_equal_torchvisions():
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    starts, flipped = torch.tensor([[0, 3], [4, 4], [8, 1]]), torch.tensor([False, True, True])
    crops = sampling.augment(images, starts, flipped, padding=4, size=(8, 8))
    for image, (top, left), flip, crop in zip(images, starts.tolist(), flipped, crops):
        expected = transforms.functional.crop(transforms.functional.pad(image, 4), top, left, 8, 8)
        assert torch.equal(crop, transforms.functional.hflip(expected) if flip else expected)


def test_normalization_equals_torchvisions_to_tensor_and_normalize_bit_for_bit():
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8)
    scaled = transforms.ToTensor()(Image.fromarray(np.moveaxis(image.numpy(), 0, -1)))
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    assert torch.equal(sampling.normalize(image, PLAIN, mean, std), scaled)
    standardize = DataSettings(name='x', normalization='standardize')
    assert torch.equal(sampling.normalize(image, standardize, mean, std),
                       transforms.Normalize(mean.flatten().tolist(), std.flatten().tolist())(scaled))


def test_a_share_of_the_training_images_leaves_the_validation_images_unchanged():
    full, half = (sampling.split_indices(100, DataSettings(name='any', validation=10, share=share), 3)
                  for share in (1., 0.5))
    assert torch.equal(full[1], half[1]) and len(half[0]) == 45
    assert set(half[0].tolist()) < set(full[0].tolist())


def test_random_labels_are_uniform_over_the_classes_and_repeatable():
    labels = torch.zeros(10_000, dtype=torch.int64)
    random = sampling.random_labels(labels, 4)
    assert torch.equal(random, sampling.random_labels(labels, 4)) and not labels.any()
    assert torch.bincount(random, minlength=4).tolist() == pytest.approx([2500] * 4, rel=0.1)
