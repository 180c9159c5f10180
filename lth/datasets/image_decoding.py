"""One image file as a tensor, resized and cropped to a shape. What is not an image, or too large, is undecodable."""
import contextlib
import errno
import functools
import io
import math
import os
import stat
import struct
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from lth.datasets import pil_images
from lth.datasets.source import Shape
from lth.errors import excerpt
from lth.system import reading

# Pillow raises them for corrupt files, depending on the format.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, TypeError, AttributeError, LookupError, ArithmeticError,
                 MemoryError, RuntimeError, struct.error, Image.DecompressionBombError, Image.DecompressionBombWarning)
# Pillow runs Ghostscript for EPS files, so its other formats are listed here.
_FORMATS = ('JPEG', 'MPO', 'PNG', 'BMP', 'DIB', 'GIF', 'WEBP', 'PPM', 'TIFF', 'AVIF', 'JPEG2000', 'ICO', 'TGA', 'PCX')
# Pixels of an image as it is decoded, and before it is cropped. 32-bit pixels take 400 MB while they are converted.
MOST_PIXELS = 2 ** 25
# Larger images are decoded one at a time.
_LARGE_PIXELS = 2 ** 22
_large = threading.Lock()
_KINDS = {stat.S_IFIFO: 'a named pipe', stat.S_IFSOCK: 'a socket', stat.S_IFCHR: 'a device', stat.S_IFBLK: 'a device'}
# Pillow lets other threads run while it decodes.
_THREADS = min(8, os.cpu_count() or 1)


class Undecodable(NamedTuple):
    """Why a file is not an image that can be decoded."""

    reason: str


def decode(file: Path, shape: Shape) -> Tensor | Undecodable:
    """The image as uint8 of this shape: resized until it covers the shape, then cropped in the center. LthError if the
    file cannot be read, for example without the permission.
    """

    try:
        with open_image(file) as opened:
            return fit(opened, shape)
    except DECODE_ERRORS as error:
        if isinstance(error, OSError) and error.errno:
            raise reading.read_error(file, error) from None
        return Undecodable(_reason(error))


def fit(opened: Image.Image, shape: Shape) -> Tensor:
    """An image of Pillow as uint8 of this shape: resized until it covers the shape, then cropped in the center. Raises
    one of DECODE_ERRORS if it cannot be decoded.
    """

    channels, height, width = shape
    mode = 'RGB' if channels == 3 else 'L'
    # JPEG decodes at 1/2, 1/4 or 1/8 of its size where that suffices.
    opened.draft(mode, (width * 2, height * 2))
    size = _covering_size(opened, width, height)
    with _large if opened.width * opened.height > _LARGE_PIXELS else contextlib.nullcontext():
        image = pil_images.to_8_bits(opened).convert(mode)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    pixels = np.array(image.crop((left, top, left + width, top + height)))
    return torch.from_numpy(pixels).view(height, width, channels).permute(2, 0, 1).contiguous()


@contextlib.contextmanager
def open_image(file: Path) -> Iterator[Image.Image]:
    """The image in a file, whose pixels are not decoded yet; ValueError for a file that is none and for a link to
    nothing, other errors of Pillow for corrupt images, OSError with an errno if the file cannot be read.
    """

    try:
        mode = file.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP) and file.is_symlink():
            raise ValueError('a link to nothing') from None
        raise
    if kind := _KINDS.get(stat.S_IFMT(mode)):
        raise ValueError(f'{kind}, not a file')
    with Image.open(file, formats=_formats()) as image:
        yield image


def open_bytes(data: bytes) -> Image.Image:
    """The image in the bytes of a file, whose pixels are not decoded yet; errors as those of `open_image`."""

    return Image.open(io.BytesIO(data), formats=_formats())


def decode_in_order(files: Iterable[Path], shape: Shape) -> Iterator[Tensor | Undecodable]:
    """Yield what `decode` returns for each file, in order; threads decode the next files in advance."""

    files = iter(files)
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            pending = deque(pool.submit(decode, file, shape) for file in islice(files, 64 * _THREADS))
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(decode, file, shape) for file in islice(files, 1))
        finally:
            pool.shutdown(cancel_futures=True)


@functools.cache
def _formats() -> list[str]:
    """The formats that this version of Pillow reads."""

    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _reason(error: BaseException) -> str:
    """What an error of Pillow, or a ValueError of lth, says about a file."""

    if isinstance(error, UnidentifiedImageError):
        return 'no image'
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f'it has more than {MOST_PIXELS:,} pixels'
    return excerpt(error) or type(error).__name__


def _covering_size(image: Image.Image, width: int, height: int) -> tuple[int, int]:
    """The smallest (width, height) of the image's proportions that covers the given one; ValueError if the image, or
    one of this size, has too many pixels.
    """

    scale = max(width / image.width, height / image.height)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    for pixels, what in ((image.size, 'it has'), (size, 'resized, it would have')):
        if math.prod(pixels) > MOST_PIXELS:
            raise ValueError(f'{what} {pixels[0]:,} × {pixels[1]:,} pixels, more than {MOST_PIXELS:,}')
    return size
