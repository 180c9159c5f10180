"""Which images a seed trains on, in which order, and how they are augmented and normalized.

Every random choice is a function of (seed, epoch), so that a run can be repeated, or resumed at any epoch.
"""
import math
from fractions import Fraction

import torch
from torch import Tensor

from lth import rng
from lth.datasets.source import Dataset
from lth.recipes.schema import DataSettings


def split_indices(count: int, settings: DataSettings, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the seed's training images and of its validation images, among `count` images; both ascending. With
    settings.share below 1, only this share of the training images is used.
    """

    order = torch.randperm(count, generator=rng.generator(seed, 'validation'))
    end = settings.validation + training_count(count, settings)
    return order[settings.validation:end].sort().values, order[:settings.validation].sort().values


def training_count(count: int, settings: DataSettings) -> int:
    """Number of images that are trained on, among `count` images: a share of those not used for validation."""

    return int(Fraction(repr(settings.share)) * max(0, count - settings.validation))


def random_labels(labels: Tensor, classes: int) -> Tensor:
    """Random labels, the same for all seeds, to replace the true ones (Su et al. 2020, section 3.1): (n,) -> (n,)."""

    return torch.randint(0, classes, labels.shape, generator=rng.generator(0, 'labels')).to(labels)


def epoch_order(indices: Tensor, seed: int, epoch: int) -> Tensor:
    """The indices in the random order of an epoch: (n,) -> (n,)."""

    return indices[torch.randperm(len(indices), generator=rng.generator(seed, 'order', epoch))]


def crop_boxes(count: int, settings: DataSettings, seed: int, epoch: int, *, margin: int) -> Tensor:
    """Random crop of each image: (count, 2) with its first row and column, both from 0 to `margin`. For resized crops
    (count, 4) with first row, first column, height and width, as shares of the image's height and width.
    """

    random = rng.generator(seed, 'crop', epoch)
    if settings.resized_crop:
        return _random_boxes(count, settings.resized_crop, random)
    return torch.randint(0, margin + 1, (count, 2), generator=random)


def flips(count: int, settings: DataSettings, seed: int, epoch: int) -> Tensor:
    """Which images are flipped horizontally: (count,) bool. Each with probability 1/2 if settings.flip, else none."""

    if not settings.flip:
        return torch.zeros(count, dtype=torch.bool)
    return torch.rand(count, generator=rng.generator(seed, 'flip', epoch)) < 0.5


def augment(images: Tensor, boxes: Tensor, flipped: Tensor, *, padding: int, size: tuple[int, int]) -> Tensor:
    """Crop images to boxes from `crop_boxes` and flip some: (B, C, H, W), (B, 2 or 4), (B,) bool -> (B, C, *size)."""

    if boxes.shape[1] == 4:
        return _resize_crops(images, boxes, flipped, size)
    return _shift(images, boxes, flipped, padding, size)


def center_crop(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The center of images: (..., H, W) -> (..., *size)."""

    top, left = ((full - part) // 2 for full, part in zip(images.shape[-2:], size, strict=True))
    return images[..., top:top + size[0], left:left + size[1]]


def normalize(images: Tensor, settings: DataSettings, mean: Tensor, std: Tensor) -> Tensor:
    """Images with values 0-255 as float32 in [0, 1], or standardized by mean and std (C, 1, 1): (..., C, H, W)."""

    scaled = images.to(torch.float32).div_(255)
    return scaled if settings.normalization == 'scale' else scaled.sub_(mean).div_(std)


def nonzero_pixels(data: Dataset, settings: DataSettings) -> Tensor | None:
    """Pixels that are non-zero in some image, as the network sees it: (C, H, W) bool. None if this is unknown, as
    images are standardized, moved or streamed.
    """

    images = [split.images for split in (data.train, data.test) if isinstance(split.images, Tensor)]
    if settings.normalization != 'scale' or settings.moves or len(images) < 2:
        return None
    return (torch.stack([part.amax(0) for part in images]) > 0).any(0).cpu()


def _shift(images: Tensor, starts: Tensor, flipped: Tensor, padding: int, size: tuple[int, int]) -> Tensor:
    """Pad with black, crop and flip, in one gather."""

    height, width = size
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    rows = starts[:, :1] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(len(images), width)
    columns = starts[:, 1:] + torch.where(flipped[:, None], columns.flip(1), columns)
    pixels = rows[:, None, :, None] * padded.shape[-1] + columns[:, None, None, :]
    pixels = pixels.expand(len(images), images.shape[1], height, width)
    return padded.flatten(2).gather(2, pixels.flatten(2)).view(pixels.shape)


def _resize_crops(images: Tensor, boxes: Tensor, flipped: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop to boxes and resize by bilinear interpolation: float32 in [0, 255]."""

    top, left, height, width = boxes.unbind(1)
    zeros = torch.zeros_like(top)
    across = torch.where(flipped, -width, width)
    # The affine map from output to input; coordinates run from -1 to 1 over an image.
    rows = [across, zeros, 2 * left + width - 1], [zeros, height, 2 * top + height - 1]
    affine = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = torch.nn.functional.affine_grid(affine, [len(images), images.shape[1], *size], align_corners=False)
    return torch.nn.functional.grid_sample(
        images.to(torch.float32), grid, padding_mode='border', align_corners=False)


def _random_boxes(count: int, smallest: float, random: torch.Generator) -> Tensor:
    """Boxes with a share of the area from `smallest` to 1 and an aspect ratio from 3/4 to 4/3 (Szegedy et al. 2015):
    the first of ten attempts that fits into the image, or the full image if none fits. Shape (count, 4).
    """

    area = torch.empty(count, 10).uniform_(smallest, 1, generator=random)
    ratio = torch.empty(count, 10).uniform_(math.log(3 / 4), math.log(4 / 3), generator=random).exp()
    corner = torch.rand(count, 2, generator=random)
    sides = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], 2)
    fits = (sides <= 1).all(2)
    first = fits.to(torch.uint8).argmax(1)
    sides = torch.where(fits.any(1)[:, None], sides[torch.arange(count), first], torch.ones(2))
    return torch.cat([corner * (1 - sides), sides], 1)
