"""Picture files as tensors: any format and size that Pillow reads, brought to one shape."""
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

from lth.errors import LthError

_Shape = tuple[int, int, int]
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
# Pillow lets other threads run while it decodes.
_THREADS = min(8, os.cpu_count() or 1)


class ImageList(NamedTuple):
    """Picture files (n) and their classes (n,)."""

    files: list[Path]
    labels: Tensor


class ImageFolders(NamedTuple):
    """The training and test pictures below a path; `name` is what the user calls them."""

    name: str
    path: Path
    train: ImageList
    test: ImageList


def decode(file: Path, shape: _Shape) -> Tensor | None:
    """One picture as uint8 of this shape: its shorter side scaled to fit, its middle cut out; None if it is broken."""

    channels, height, width = shape
    try:
        with Image.open(file) as picture:
            # JPEG decodes at a half, quarter or eighth of its size where that suffices.
            picture.draft('RGB' if channels == 3 else 'L', (width * 2, height * 2))
            image = _plain(picture).convert('RGB' if channels == 3 else 'L')
            if (image.width, image.height) != (width, height):
                scale = max(width / image.width, height / image.height)
                sides = max(width, round(image.width * scale)), max(height, round(image.height * scale))
                image = image.resize(sides, Image.Resampling.BILINEAR)
            left, top = (image.width - width) // 2, (image.height - height) // 2
            pixels = np.array(image.crop((left, top, left + width, top + height)))
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno:
            raise LthError(f'Cannot read {file}: {error.strerror}.') from None
        return None
    return torch.from_numpy(pixels).view(height, width, channels).permute(2, 0, 1).contiguous()


def _plain(picture: Image.Image) -> Image.Image:
    """The picture with 16 bits a pixel brought to 8, which Pillow would clip; a ValueError for what has no known range.
    """

    if picture.mode == 'F':
        raise ValueError('pixels in floating point have no known range')
    if not picture.mode.startswith('I'):
        return picture
    pixels = np.asarray(picture).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError('not 16 bits a pixel')
    return Image.fromarray(((pixels * 255 + 32767) // 65535).astype(np.uint8))


def decode_in_order(files: Iterable[Path], shape: _Shape) -> Iterator[Tensor | None]:
    """The pictures one after the other, some decoded ahead by threads."""

    files = iter(files)
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            ahead = deque(pool.submit(decode, file, shape) for file in islice(files, 64 * _THREADS))
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(pool.submit(decode, file, shape) for file in islice(files, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def undecodable_error(pictures: Sequence[Path], total: int, skip: str = '--set data.undecodable=skip') -> LthError:
    """The mistake of pictures that do not decode, some of them named."""

    named = ', '.join(map(str, pictures[:5])) + (', …' if len(pictures) > 5 else '')
    return LthError(f'{len(pictures)} of {total} pictures cannot be decoded: {named}. Mend or delete them, or leave '
                    f'them out with {skip}.')


def decode_all(
        folder: ImageList, shape: _Shape, undecodable: Literal['refuse', 'skip'], cache: Path) -> tuple[Tensor, Tensor]:
    """All pictures that decode and their classes, decoded once: kept in a file below `cache` if it can be written."""

    place = cache / f'{fingerprint(folder, shape, undecodable)}.safetensors'
    if kept := _read_cache(place, 'images', 'labels'):
        return kept['images'], kept['labels']
    images = torch.empty(len(folder.files), *shape, dtype=torch.uint8)
    good = torch.ones(len(folder.files), dtype=torch.bool)
    for row, image in enumerate(decode_in_order(folder.files, shape)):
        good[row] = image is not None
        images[row] = 0 if image is None else image
    if undecodable == 'refuse' and not good.all():
        raise undecodable_error([file for file, fine in zip(folder.files, good.tolist()) if not fine], len(folder.files))
    images, labels = (images, folder.labels) if good.all() else (images[good], folder.labels[good])
    _write_cache(place, {'images': images, 'labels': labels.contiguous()})
    return images, labels


def decodable_indices(folder: ImageList, shape: _Shape, cache: Path) -> Tensor:
    """The numbers of the pictures that decode: all are tried once, and the answer kept below `cache`."""

    place = cache / f'{fingerprint(folder, shape, "numbers")}.safetensors'
    if kept := _read_cache(place, 'numbers'):
        return kept['numbers']
    good = torch.tensor([image is not None for image in decode_in_order(folder.files, shape)]).nonzero().flatten()
    _write_cache(place, {'numbers': good})
    return good


def _read_cache(place: Path, *names: str) -> dict[str, Tensor] | None:
    """What `_keep` wrote; None if it is not there, or torn, as by a crash of the machine: it is then made again."""

    with contextlib.suppress(OSError, SafetensorError):
        kept = load_file(place)
        return kept if kept.keys() >= set(names) else None
    return None


def _write_cache(place: Path, tensors: dict[str, Tensor]) -> None:
    """Writes a file that only spares time, and does without where nothing can be written."""

    partial = place.with_name(f'{place.name}.{os.getpid()}.partial')
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial)
        partial.chmod(0o644)  # also for whom the data are shared with
        os.replace(partial, place)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            partial.unlink()


def fingerprint(folder: ImageList, *facts: object) -> str:
    """What changes if any file does, or another fact."""

    digest = hashlib.blake2b(f'{facts} {folder.labels.tolist()}'.encode(), digest_size=12)
    for file in folder.files:
        state = file.stat()
        digest.update(f'{file.parent.name}/{file.name} {state.st_size} {state.st_mtime_ns}\n'.encode())
    return digest.hexdigest()
