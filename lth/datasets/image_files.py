"""Image files as tensors: every format and size that Pillow reads, resized and cropped to one shape."""
import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lth.datasets.source import Shape
from lth.errors import LthError

_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
# Pillow lets other threads run while it decodes.
_THREADS = min(8, os.cpu_count() or 1)


class ImageList(NamedTuple):
    """Image files (n) and their labels (n,)."""

    files: list[Path]
    labels: Tensor


class ImageFolders(NamedTuple):
    """The training and test images below a path; `name` is the data set's name in recipes."""

    name: str
    path: Path
    train: ImageList
    test: ImageList


def decode(file: Path, shape: Shape) -> Tensor | None:
    """The image as uint8 of this shape: resized until it covers the shape, then cropped in the center. None if it
    cannot be decoded; LthError if the file cannot be read.
    """

    channels, height, width = shape
    mode = 'RGB' if channels == 3 else 'L'
    try:
        with Image.open(file) as opened:
            # JPEG decodes at 1/2, 1/4 or 1/8 of its size where that suffices.
            opened.draft(mode, (width * 2, height * 2))
            image = _to_8_bits(opened).convert(mode)
            if (image.width, image.height) != (width, height):
                scale = max(width / image.width, height / image.height)
                size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
                image = image.resize(size, Image.Resampling.BILINEAR)
            left, top = (image.width - width) // 2, (image.height - height) // 2
            pixels = np.array(image.crop((left, top, left + width, top + height)))
    except _DECODE_ERRORS as error:
        if isinstance(error, OSError) and error.errno:
            raise LthError(f'Cannot read {file}: {error.strerror}.') from None
        return None
    return torch.from_numpy(pixels).view(height, width, channels).permute(2, 0, 1).contiguous()


def decode_in_order(files: Iterable[Path], shape: Shape) -> Iterator[Tensor | None]:
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


def undecodable_error(files: Sequence[Path], total: int, skip: str = '--set data.undecodable=skip') -> LthError:
    """The error for image files that cannot be decoded; it names the first five, and the option that skips them."""

    names = ', '.join(map(str, files[:5])) + (', …' if len(files) > 5 else '')
    return LthError(f'{len(files)} of {total} images cannot be decoded: {names}. Repair or delete them, or leave them '
                    f'out with {skip}.')


def decode_all(
        folder: ImageList, shape: Shape, undecodable: Literal['refuse', 'skip'], cache: Path) -> tuple[Tensor, Tensor]:
    """All images and their labels. They are decoded once and cached in a file below `cache`, if it can be written.

    With `skip`, images that cannot be decoded are left out; with `refuse` they are an LthError.
    """

    path = cache / f'{fingerprint(folder, shape, undecodable)}.safetensors'
    if cached := _read_cache(path):
        return cached['images'], cached['labels']
    images = torch.empty(len(folder.files), *shape, dtype=torch.uint8)
    decodable = torch.ones(len(folder.files), dtype=torch.bool)
    for row, image in enumerate(decode_in_order(folder.files, shape)):
        decodable[row] = image is not None
        images[row] = 0 if image is None else image
    labels = folder.labels
    if not decodable.all():
        if undecodable == 'refuse':
            corrupt = [folder.files[row] for row in (~decodable).nonzero().flatten().tolist()]
            raise undecodable_error(corrupt, len(folder.files))
        images, labels = images[decodable], labels[decodable]
    _write_cache(path, {'images': images, 'labels': labels})
    return images, labels


def decodable_indices(folder: ImageList, shape: Shape, cache: Path) -> Tensor:
    """Indices of the images that can be decoded. Each is tried once, and the result is cached below `cache`."""

    path = cache / f'{fingerprint(folder, shape, "numbers")}.safetensors'
    if cached := _read_cache(path):
        return cached['numbers']
    decodable = torch.tensor([image is not None for image in decode_in_order(folder.files, shape)])
    indices = decodable.nonzero().flatten()
    _write_cache(path, {'numbers': indices})
    return indices


def fingerprint(folder: ImageList, *facts: object) -> str:
    """Digest of the files' names, sizes and times, of their labels, and of other facts."""

    digest = hashlib.blake2b(f'{facts} {folder.labels.tolist()}'.encode(), digest_size=12)
    for file in folder.files:
        status = file.stat()
        digest.update(f'{file.parent.name}/{file.name} {status.st_size} {status.st_mtime_ns}\n'.encode())
    return digest.hexdigest()


def _to_8_bits(image: Image.Image) -> Image.Image:
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


def _read_cache(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file that `_write_cache` wrote; None if it is missing or corrupt, for example after a crash."""

    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _write_cache(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a cache file; do nothing if it cannot be written."""

    partial = path.with_name(f'{path.name}.{os.getpid()}.partial')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial)
        partial.chmod(0o644)  # readable for others who use the same data folder
        os.replace(partial, path)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            partial.unlink()
