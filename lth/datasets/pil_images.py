"""Images of Pillow with 8 bits per channel: gray or color."""
import numpy as np
from PIL import Image

_GRAY_MODES = ('1', 'L', 'LA', 'La', 'I', 'F')


def is_gray(image: Image.Image) -> bool:
    """Whether the image has one channel, apart from transparency."""

    return image.mode in _GRAY_MODES or image.mode.startswith('I;16')


def to_8_bits(image: Image.Image) -> Image.Image:
    """The image with 16 bits per pixel scaled to 8, as Pillow would clip them; ValueError if the range of its pixels
    is not known.
    """

    if image.mode == 'F':
        raise ValueError('floating-point pixels have no known range')
    if not image.mode.startswith('I'):
        return image
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError('not 16 bits per pixel')
    return Image.fromarray(((pixels * 255 + 32767) // 65535).astype(np.uint8))
