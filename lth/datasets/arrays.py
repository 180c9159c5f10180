"""Images and labels that code of users returns, as tensors: what can be converted without a loss is, all else is an
LthError with the reason.

Images: tensors, arrays or lists of images, also of Pillow; uint8, or floats k/255. Labels: integers of any type.
"""
from collections.abc import Sequence
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from lth.datasets import pil_images
from lth.datasets.source import Split
from lth.errors import LthError

_MAX_CLASSES = 100_000
_CHUNK = 1024
_FLOATS = ('and not all of them are k/255 for a whole number k from 0 to 255, for example because they were '
           'normalized, resized or not divided by 255. lth stores images as uint8 and normalizes them itself: give '
           "them without normalization, and set data.normalization to 'standardize' if you want it.")


def make_split(what: str, images: Any, labels: Any) -> Split:
    """The split of images (n, channels, height, width) or (n, height, width) and labels (n,). `what` it is, for
    messages, such as 'The given data, training set'.
    """

    pixels = to_uint8(f'{what}: the images', images)
    return Split(pixels, make_labels(f'{what}: the labels', labels, len(pixels)))


def make_labels(what: str, labels: Any, count: int) -> Tensor:
    """Labels (count,) as int64; LthError if they have another form. `what` they are, for messages."""

    array = labels.detach().to('cpu').numpy() if isinstance(labels, Tensor) else numpy.asarray(labels)
    array = numpy.asarray(array.tolist()) if array.dtype.kind == 'O' else array
    if array.shape != (count,):
        raise LthError(f'{what} have the shape {array.shape} for {count:,} images. Give one label for each image, of '
                       'shape (n,); from one-hot vectors, labels.argmax(1).')
    if array.dtype.kind in 'USO':
        raise LthError(f'{what} are not numbers ({array.dtype}). Number the classes from 0: '
                       'numpy.unique(labels, return_inverse=True)[1].')
    if array.dtype.kind not in 'iub':
        raise LthError(f'{what} are {array.dtype}. Convert them to integers, such as int64.')
    smallest, largest = int(array.min()), int(array.max())
    if smallest < 0 or largest >= _MAX_CLASSES:
        raise LthError(f'{what} lie between {smallest} and {largest}. Number the classes from 0, at most to '
                       f'{_MAX_CLASSES - 1:,}.')
    return torch.from_numpy(array.astype(numpy.int64))


def to_uint8(what: str, images: Any) -> Tensor:
    """The images as uint8 (n, channels, height, width). Float images must be k/255 for whole numbers k, as
    torchvision's ToTensor makes them.
    """

    pixels = _levels(what, _stack(what, images) if _is_list(images) else to_tensor(what, images))
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape:
        raise LthError(f'{what} have the shape {tuple(pixels.shape)}. Give them as (n, channels, height, width) with 1 '
                       'or 3 channels, or as (n, height, width), at least one image.')
    return pixels.contiguous()


def to_tensor(what: str, value: Any) -> Tensor:
    """A tensor, an array, numbers or an image of Pillow as a tensor of the same numbers. Images of Pillow become uint8
    (height, width) if they are gray, else (3, height, width).
    """

    if isinstance(value, Tensor):
        return value.detach().to('cpu')
    if isinstance(value, Image.Image):
        return _pixels(what, value)
    if numpy.ma.is_masked(value):
        raise LthError(f'{what} are a masked array with masked values. Give an array without a mask.')
    array = numpy.asarray(value)
    if array.dtype.kind not in 'iufb':
        raise LthError(f'{what} are of type {type(value).__name__} ({array.dtype}). Give them as uint8, or as floats '
                       'k/255.')
    # Torch needs the machine's byte order, positive strides and memory that may be written.
    kind = numpy.dtype(numpy.float64) if array.dtype.itemsize > 8 else array.dtype.newbyteorder('=')
    array = numpy.ascontiguousarray(array, kind)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _is_list(images: Any) -> bool:
    """Whether these are separate images, each a tensor, an array or an image of Pillow."""

    is_list = isinstance(images, (list, tuple)) or (isinstance(images, numpy.ndarray) and images.dtype.kind == 'O')
    return is_list and len(images) > 0 and isinstance(images[0], (Tensor, numpy.ndarray, Image.Image))


def _stack(what: str, images: Sequence[Any]) -> Tensor:
    tensors = [to_tensor(what, image) for image in images]
    if all(isinstance(image, Image.Image) for image in images) and {tensor.ndim for tensor in tensors} == {2, 3}:
        tensors = [tensor if tensor.ndim == 3 else tensor.expand(3, -1, -1) for tensor in tensors]
    for row, tensor in enumerate(tensors):
        if tensor.shape != tensors[0].shape:
            raise LthError(f'{what} have different shapes: {tuple(tensors[0].shape)} of the first, '
                           f'{tuple(tensor.shape)} of image {row}. Resize them to one shape.')
    return torch.stack(tensors)


def _pixels(what: str, image: Image.Image) -> Tensor:
    try:
        converted = pil_images.to_8_bits(image).convert('L' if pil_images.is_gray(image) else 'RGB')
    except ValueError as error:
        raise LthError(f'{what} cannot be converted to 8 bits: one has the mode {image.mode!r} ({error}).') from None
    pixels = torch.from_numpy(numpy.array(converted))
    return pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels


def _levels(what: str, images: Tensor) -> Tensor:
    """The images as uint8; LthError that says why they cannot be converted."""

    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise LthError(f'{what} are {images.dtype}. {_integer_advice(images)}, or give floats k/255.')
    levels = torch.empty(images.shape, dtype=torch.uint8)
    # Half precision rounds k/255 by up to 0.06/255.
    tolerance = max(1e-3, min(0.2, 255 * torch.finfo(images.dtype).eps))
    for chunk, result in zip(images.split(_CHUNK), levels.split(_CHUNK)):
        scaled = chunk.to(torch.float64) * 255
        rounded = scaled.round()
        if not bool(((scaled - rounded).abs() < tolerance).all()) or rounded.min() < 0 or rounded.max() > 255:
            raise LthError(f'{what} are floats between {float(images.min()):.4g} and {float(images.max()):.4g}, '
                           f'{_FLOATS}')
        result.copy_(rounded)
    return levels


def _integer_advice(images: Tensor) -> str:
    """How to convert images of another type than uint8."""

    if images.dtype == torch.bool:
        return 'Multiply them by 255 and convert them to uint8'
    if images.dtype.is_complex or images.is_quantized or images.numel() == 0:
        return 'Convert them to uint8'
    numbers = images.numpy()
    if numbers.min() >= 0 and numbers.max() <= 255:
        return 'Convert them to uint8'
    return f'They lie between {numbers.min()} and {numbers.max()}: scale them to 0 … 255 and convert them to uint8'
