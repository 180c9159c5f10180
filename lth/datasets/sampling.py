"""Pictures, their order and look: each draw is a function of (seed, epoch), so a run can be repeated or joined late."""
import math
from fractions import Fraction

import torch
from torch import Tensor

from lth import rng
from lth.datasets.source import Dataset
from lth.recipes.schema import DataSettings


def split_indices(pictures: int, settings: DataSettings, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the training and of the validation pictures, ascending; drawn once per seed. Of the training pictures
    a share, if the recipe wants no more.
    """

    drawn = torch.randperm(pictures, generator=rng.generator(seed, 'validation'))
    end = settings.validation + training_count(pictures, settings)
    return drawn[settings.validation:end].sort().values, drawn[:settings.validation].sort().values


def training_count(pictures: int, settings: DataSettings) -> int:
    """How many of so many pictures are trained on: those that do not validate, or a share of them."""

    return int(Fraction(repr(settings.share)) * max(0, pictures - settings.validation))


def random_labels(labels: Tensor, classes: int) -> Tensor:
    """Random classes in place of the true ones, alike for all seeds (Su et al. 2020, section 3.1): (n,) -> (n,)."""

    return torch.randint(0, classes, labels.shape, generator=rng.generator(0, 'labels')).to(labels)


def epoch_order(training: Tensor, seed: int, epoch: int) -> Tensor:
    """The training pictures in the order of this epoch: (n,) -> (n,)."""

    return training[torch.randperm(len(training), generator=rng.generator(seed, 'order', epoch))]


def crop_boxes(count: int, settings: DataSettings, seed: int, epoch: int, *, room: int) -> Tensor:
    """Where each picture is cut: (count, 2) first row and column, from 0 to `room`; or, for resized crops, (count, 4)
    first row, first column, height and width as shares of the picture.
    """

    random = rng.generator(seed, 'crop', epoch)
    if settings.resized_crop:
        return _random_boxes(count, settings.resized_crop, random)
    return torch.randint(0, room + 1, (count, 2), generator=random)


def flips(count: int, settings: DataSettings, seed: int, epoch: int) -> Tensor:
    """Which pictures are mirrored left to right, half of them: (count,) bool; none if the recipe does not flip."""

    if not settings.flip:
        return torch.zeros(count, dtype=torch.bool)
    return torch.rand(count, generator=rng.generator(seed, 'flip', epoch)) < 0.5


def augment(images: Tensor, cuts: Tensor, mirrored: Tensor, *, padding: int, shown: tuple[int, int]) -> Tensor:
    """Cut to `shown` at `places`, and mirrored: (B, C, H, W), (B, 2 or 4), (B,) -> (B, C, *shown)."""

    return (_resize_crops if cuts.shape[1] == 4 else _shift)(images, cuts, mirrored, padding, shown)


def center_crop(images: Tensor, shown: tuple[int, int]) -> Tensor:
    """The middle of pictures: (..., H, W) -> (..., *shown)."""

    top, left = ((whole - part) // 2 for whole, part in zip(images.shape[-2:], shown, strict=True))
    return images[..., top:top + shown[0], left:left + shown[1]]


def normalize(images: Tensor, settings: DataSettings, mean: Tensor, std: Tensor) -> Tensor:
    """Pictures of 0 … 255 as float32 in [0, 1], or standardized by mean and std (C, 1, 1): (..., C, H, W)."""

    scaled = images.to(torch.float32).div_(255)
    return scaled if settings.normalization == 'scale' else scaled.sub_(mean).div_(std)


def nonzero_pixels(data: Dataset, settings: DataSettings) -> Tensor | None:
    """The pixels that are not 0 in every picture as the network sees it: (C, H, W) bool. None if all may be something,
    since pictures are standardized, moved about or streamed.
    """

    images = [split.images for split in (data.train, data.test) if isinstance(split.images, Tensor)]
    if settings.normalization != 'scale' or settings.moves or len(images) < 2:
        return None
    return (torch.stack([some.amax(0) for some in images]) > 0).any(0).cpu()


def _shift(images: Tensor, starts: Tensor, mirrored: Tensor, padding: int, shown: tuple[int, int]) -> Tensor:
    """Padded with black, cut and mirrored in one gather."""

    height, width = shown
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    rows = starts[:, :1] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(len(images), width)
    columns = starts[:, 1:] + torch.where(mirrored[:, None], columns.flip(1), columns)
    pixels = rows[:, None, :, None] * padded.shape[-1] + columns[:, None, None, :]
    pixels = pixels.expand(len(images), images.shape[1], height, width)
    return padded.flatten(2).gather(2, pixels.flatten(2)).view(pixels.shape)


def _resize_crops(images: Tensor, boxes: Tensor, mirrored: Tensor, _padding: int, shown: tuple[int, int]) -> Tensor:
    """Boxes brought to one size, bilinear: float32 in 0 … 255."""

    top, left, height, width = boxes.unbind(1)
    zeros = torch.zeros_like(top)
    across = torch.where(mirrored, -width, width)
    # Coordinates run from -1 to 1 over a picture: output -> input.
    rows = [across, zeros, 2 * left + width - 1], [zeros, height, 2 * top + height - 1]
    affine = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = torch.nn.functional.affine_grid(affine, [len(images), images.shape[1], *shown], align_corners=False)
    pictures = images.to(torch.float32)
    return torch.nn.functional.grid_sample(pictures, grid, padding_mode='border', align_corners=False)


def _random_boxes(count: int, least: float, random: torch.Generator) -> Tensor:
    """Boxes of `least` to all of the area and of ratios 3/4 to 4/3 (Szegedy et al. 2015), the first of ten draws that
    fits; all of the picture if none does: (count, 4).
    """

    area = torch.empty(count, 10).uniform_(least, 1, generator=random)
    ratio = torch.empty(count, 10).uniform_(math.log(3 / 4), math.log(4 / 3), generator=random).exp()
    corner = torch.rand(count, 2, generator=random)
    sides = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], 2)
    fits = (sides <= 1).all(2)
    first = fits.to(torch.uint8).argmax(1)
    sides = torch.where(fits.any(1)[:, None], sides[torch.arange(count), first], torch.ones(2))
    return torch.cat([corner * (1 - sides), sides], 1)
