"""Images in memory, resized or converted between color and gray, and the mean and std of their channels."""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lth.datasets import sampling
from lth.datasets.source import Dataset, Shape, Split

# Mean and standard deviation of each channel, in [0, 1].
Statistics = tuple[tuple[float, ...], tuple[float, ...]]
_CHUNK_BYTES = 2 ** 24
# Rec. 601 luma, as Pillow converts color to gray.
_LUMA = (0.299, 0.587, 0.114)


def make_dataset(train: Split, test: Split) -> Dataset:
    """A data set with the mean and standard deviation of its training images, which must be in memory."""

    assert isinstance(train.images, Tensor)
    return Dataset(train, test, *channel_statistics(train.images))


def resize_dataset(data: Dataset, shape: Shape) -> Dataset:
    """The data set with images of this shape: resized until they cover it, then cropped in the center. The same object
    if its images have this shape or are streamed.
    """

    if data.shape == shape or not isinstance(data.train.images, Tensor) or not isinstance(data.test.images, Tensor):
        return data
    return make_dataset(Split(_resize_images(data.train.images, shape), data.train.labels),
                        Split(_resize_images(data.test.images, shape), data.test.labels))


def channel_statistics(images: Tensor) -> Statistics:
    """Statistics of uint8 images (n, C, H, W). The standard deviation of a constant channel is reported as 1."""

    total, squares = (torch.zeros(images.shape[1], dtype=torch.float64) for _ in range(2))
    for chunk in _chunks(images):
        values = chunk.to(torch.float32) / 255
        total += values.sum((0, 2, 3))
        squares += values.square_().sum((0, 2, 3))
    mean = total / (images.numel() / images.shape[1])
    std = (squares / (images.numel() / images.shape[1]) - mean.square()).clamp_min(0).sqrt()
    return tuple(mean.tolist()), tuple(torch.where(std > 1e-6, std, 1.).tolist())


def _resize_images(images: Tensor, shape: Shape) -> Tensor:
    return torch.cat([_convert_channels(_resize(chunk, shape[1:]), shape[0]) for chunk in _chunks(images)])


def _chunks(images: Tensor) -> Sequence[Tensor]:
    """Views of the images, some megabytes each."""

    return torch.split(images, max(1, _CHUNK_BYTES // images[0].numel()))


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    scale = max(size[0] / height, size[1] / width)
    covering = [max(size[0], round(height * scale)), max(size[1], round(width * scale))]
    resized = F.interpolate(images.to(torch.float32), covering, mode='bilinear', antialias=True)
    return sampling.center_crop(resized, size).round().clamp_(0, 255).to(torch.uint8)


def _convert_channels(images: Tensor, channels: int) -> Tensor:
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    luma = torch.tensor(_LUMA).view(1, 3, 1, 1)
    return (images * luma).sum(1, keepdim=True).round().to(torch.uint8)
