"""Pictures, their order and look: each draw is a function of (seed, epoch), so a run can be repeated or joined late."""
import torch
from torch import Tensor

from lth import streams
from lth.recipe import DataSettings


def division(pictures: int, validation: int, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the training and of the validation pictures, ascending; drawn once per seed."""

    drawn = torch.randperm(pictures, generator=streams.generator(seed, 'validation'))
    return drawn[validation:].sort().values, drawn[:validation].sort().values


def order(training: Tensor, seed: int, epoch: int) -> Tensor:
    """The training pictures in the order of this epoch: (n,) -> (n,)."""

    return training[torch.randperm(len(training), generator=streams.generator(seed, 'order', epoch))]


def corners(count: int, settings: DataSettings, seed: int, epoch: int) -> Tensor:
    """Where each crop starts in the padded picture: (count, 2), row and column from 0 to twice the padding."""

    return torch.randint(0, 2 * settings.crop + 1, (count, 2), generator=streams.generator(seed, 'crop', epoch))


def flips(count: int, settings: DataSettings, seed: int, epoch: int) -> Tensor:
    """Which pictures are mirrored left to right, half of them: (count,) bool; none if the recipe does not flip."""

    if not settings.flip:
        return torch.zeros(count, dtype=torch.bool)
    return torch.rand(count, generator=streams.generator(seed, 'flip', epoch)) < 0.5


def augmented(images: Tensor, starts: Tensor, mirrored: Tensor, *, padding: int) -> Tensor:
    """Padded with black, cropped and mirrored in one gather: (B, C, H, W), (B, 2), (B,) -> (B, C, H, W)."""

    count, channels, height, width = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    rows = starts[:, :1] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(count, width)
    columns = starts[:, 1:] + torch.where(mirrored[:, None], columns.flip(1), columns)
    places = rows[:, None, :, None] * padded.shape[-1] + columns[:, None, None, :]
    return padded.flatten(2).gather(2, places.expand(count, channels, height, width).flatten(2)).view_as(images)


def normalized(images: Tensor, settings: DataSettings, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 pictures as float32 in [0, 1] or standardized by the data set's mean and std (C, 1, 1): (..., C, H, W)."""

    scaled = images.to(torch.float32).div_(255)
    return scaled if settings.normalization == 'scale' else scaled.sub_(mean).div_(std)
