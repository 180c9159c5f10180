"""Lists of image files, decoded into memory once and cached, with the files that cannot be decoded left out or refused.
"""
import contextlib
import hashlib
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lth.datasets import image_decoding
from lth.datasets.image_decoding import Undecodable
from lth.datasets.source import Shape
from lth.errors import LthError
from lth.system.files import new_partial_file, partial_files


class ImageList(NamedTuple):
    """Image files (n) and their labels (n,)."""

    files: list[Path]
    labels: Tensor


class ImageFolders(NamedTuple):
    """The training and test images below a path; `name` is the data set's name in recipes, `note` says which folders
    are classes and what is not used. `classes` are their names, () if they are not known.
    """

    name: str
    path: Path
    train: ImageList
    test: ImageList
    note: str = ''
    classes: tuple[str, ...] = ()


def undecodable_error(
        files: Mapping[Path, str], total: int, skip: str = '--set data.undecodable=skip') -> LthError:
    """The error for image files that cannot be decoded, with the reasons; it names the first five, and the option that
    skips them.
    """

    names = ', '.join(f'{file} ({reason})' for file, reason in islice(files.items(), 5))
    names += ', …' if len(files) > 5 else ''
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
    corrupt = dict[int, str]()
    for row, image in enumerate(image_decoding.decode_in_order(folder.files, shape)):
        if isinstance(image, Undecodable):
            corrupt[row] = image.reason
        else:
            images[row] = image
    labels = folder.labels
    if corrupt:
        if undecodable == 'refuse':
            reasons = {folder.files[row]: reason for row, reason in corrupt.items()}
            raise undecodable_error(reasons, len(folder.files))
        decodable = torch.ones(len(folder.files), dtype=torch.bool)
        decodable[list(corrupt)] = False
        _require_all_classes(folder, decodable.nonzero().flatten())
        images, labels = images[decodable], labels[decodable]
    _write_cache(path, {'images': images, 'labels': labels})
    return images, labels


def decodable_indices(folder: ImageList, shape: Shape, cache: Path) -> Tensor:
    """Indices of the images that can be decoded. Each is tried once, and the result is cached below `cache`. LthError
    if they lack a class.
    """

    path = cache / f'{fingerprint(folder, shape, "numbers")}.safetensors'
    if cached := _read_cache(path):
        return cached['numbers']
    images = image_decoding.decode_in_order(folder.files, shape)
    decodable = torch.tensor([isinstance(image, Tensor) for image in images])
    indices = decodable.nonzero().flatten()
    _require_all_classes(folder, indices)
    _write_cache(path, {'numbers': indices})
    return indices


def fingerprint(folder: ImageList, *facts: object) -> str:
    """Digest of the files' names, sizes and times, of their labels, and of other facts."""

    digest = hashlib.blake2b(f'{facts} {folder.labels.tolist()}'.encode(), digest_size=12)
    for file in folder.files:
        try:
            status = file.stat()
        except OSError:
            status = file.lstat()  # a link to nothing
        digest.update(os.fsencode(f'{file.parent.name}/{file.name} {status.st_size} {status.st_mtime_ns}\n'))
    return digest.hexdigest()


def _require_all_classes(folder: ImageList, indices: Tensor) -> None:
    """LthError if the images with these indices lack a class of the folder."""

    missing = sorted(set(folder.labels.tolist()) - set(folder.labels[indices].tolist()))
    if missing:
        first = folder.files[folder.labels.tolist().index(missing[0])]
        raise LthError(f'No image of class {missing[0]} can be decoded, such as {first}. Replace its images, or delete '
                       'its folders.')


def _read_cache(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file that `_write_cache` wrote; None if it is missing or corrupt, for example after a crash."""

    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _write_cache(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a cache file; do nothing if it cannot be written."""

    partial = new_partial_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial)
        partial.chmod(0o644)  # readable for others who use the same data folder
        os.replace(partial, path)
        for other in partial_files(path):  # of processes that were killed, or that are not needed any more
            other.unlink()
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            partial.unlink()
