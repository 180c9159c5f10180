"""Writes folders of images as .beton files, which FFCV (Leclerc et al. 2023) streams at full speed.

    PATH/train-CxHxW.beton   PATH/test-CxHxW.beton   PATH/prepared-CxHxW.json: labels, written last

FFCV waits forever if one of its processes fails, so every wait in this module has a timeout.
"""
import gc
import json
import os
import time
from collections.abc import Sequence
from multiprocessing import get_context, set_start_method
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lth.datasets import image_decoding, image_files
from lth.datasets.ffcv_reader import INSTALL, PreparedFiles, is_installed, prepared_files
from lth.datasets.image_files import ImageFolders
from lth.datasets.source import OnProgress, Shape
from lth.errors import LthError
from lth.system import file_lock, files, processes

_TIMEOUT_SECONDS = 120
_THREADS = min(8, os.cpu_count() or 1)
_QUALITY = 95
_LOCK_REMEDY = 'Wait until it ends, then repeat the command.'

# For each .beton file to write, its path and its images.
_Parts = list[tuple[Path, list[Path]]]


def write_prepared(folders: ImageFolders, shape: Shape, undecodable: str, on_progress: OnProgress) -> list[Path]:
    """Write the files that ffcv_reader.py reads, and return them. After an error, previous files are unchanged."""

    if not is_installed():
        raise LthError(f'FFCV is not installed: {INSTALL}.')
    prepared = prepared_files(folders.path, shape)
    with file_lock.hold(folders.path / file_lock.LOCK_NAME, _LOCK_REMEDY):
        _delete_partial_files(folders.path)
        try:
            parts = [(_partial(prepared.train), folders.train.files), (_partial(prepared.test), folders.test.files)]
            corrupt = _write(parts, shape, on_progress)
            if undecodable == 'refuse':
                _require_all_decoded(parts, corrupt)
            _replace(folders, prepared, corrupt)
        except OSError as error:
            raise files.write_error(prepared.train, error) from None
        finally:
            _delete_partial_files(folders.path)
    return list(prepared)


def _partial(file: Path) -> Path:
    return file.with_name(f'{file.name}.partial')


def _delete_partial_files(path: Path) -> None:
    for file in path.glob('*.beton.partial*'):
        file.unlink()


def _require_all_decoded(parts: _Parts, corrupt: Sequence[list[int]]) -> None:
    undecodable = {images[row]: 'no image' for (_, images), rows in zip(parts, corrupt) for row in rows}
    if undecodable:
        total = sum(len(images) for _, images in parts)
        raise image_files.undecodable_error(undecodable, total, '--undecodable skip')


def _replace(folders: ImageFolders, prepared: PreparedFiles, corrupt: Sequence[list[int]]) -> None:
    """Rename the partial files, then write the labels and the facts that show later whether the files are intact."""

    facts = {}
    prepared.labels.unlink(missing_ok=True)
    for name, folder, file, rows in zip(
            ('train', 'test'), (folders.train, folders.test), (prepared.train, prepared.test), corrupt):
        os.replace(_partial(file), file)
        labels = folder.labels.clone()
        labels[rows] = -1
        facts[name] = {'bytes': file.stat().st_size, 'labels': labels.tolist(),
                       'fingerprint': image_files.fingerprint(folder)}
    files.write(prepared.labels, json.dumps(facts).encode())


def _write(parts: _Parts, shape: Shape, on_progress: OnProgress) -> list[list[int]]:
    """Write .beton files in a child process. Return the indices of the images that cannot be decoded, for each file."""

    context, log = get_context('spawn'), parts[0][0].with_suffix('.partial.log')
    total = sum(len(images) for _, images in parts)
    done, corrupt = context.Value('q', 0), [context.Array('b', len(images), lock=False) for _, images in parts]
    process = processes.start_process_group(_write_in_child, parts, str(log), shape, done, corrupt)
    try:
        _wait(process, done, total, on_progress)
        if process.exitcode or done.value != total:
            output = log.read_text(errors='replace').strip().splitlines() if log.exists() else []
            last_line = output[-1] if output else 'It printed nothing.'
            raise LthError(f'FFCV could not write to {log.parent}: its process ended with exit code {process.exitcode} '
                           f'after {done.value} of {total} images. {last_line}')
    finally:
        processes.kill_process_group(process)
        log.unlink(missing_ok=True)
    on_progress(total, total)
    return [np.flatnonzero(flags[:]).tolist() for flags in corrupt]


def _wait(process: BaseProcess, done: 'Synchronized[int]', total: int, on_progress: OnProgress) -> None:
    """Report progress until the process ends; LthError if it writes no image until the timeout."""

    count, since = -1, time.monotonic()
    while process.is_alive():
        if done.value != count:
            count, since = done.value, time.monotonic()
            on_progress(min(count, total - 1), total)
        if time.monotonic() - since > _TIMEOUT_SECONDS:
            raise LthError(f'FFCV has written no image for {_TIMEOUT_SECONDS} s, after {count} of {total}. Memory or '
                           'shared memory (/dev/shm) may be full. Try again with more of it, or with fewer cores '
                           '(taskset).')
        process.join(0.1)


class _Images:
    """Decoded images for FFCV's writer, which indexes it in its child processes. It must never raise."""

    def __init__(
            self, images: Sequence[Path], shape: Shape, done: 'Synchronized[int]', corrupt: 'Sequence[int]') -> None:
        self._images, self._shape, self._done, self._corrupt = images, shape, done, corrupt

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[np.ndarray[Any, Any]]:
        try:
            image = image_decoding.decode(self._images[index], self._shape)
        except LthError as error:
            image = image_decoding.Undecodable(str(error))
        if isinstance(image, image_decoding.Undecodable):
            self._corrupt[index] = 1  # type: ignore[index]
            image = torch.zeros(self._shape, dtype=torch.uint8)
        with self._done.get_lock():
            self._done.value += 1
        return (image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy(),)


def _write_in_child(
        parts: _Parts, log: str, shape: Shape, done: 'Synchronized[int]', corrupt: Sequence[Sequence[int]]) -> None:
    """The child process: writes all files, counts images in `done` and marks those that cannot be decoded."""

    # FFCV prints its own progress bar. The last line of its output is reported if it fails.
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from ffcv.fields import RGBImageField  # pylint: disable=import-outside-toplevel # optional
    from ffcv.writer import DatasetWriter  # pylint: disable=import-outside-toplevel # optional
    torch.set_num_threads(1)
    # Forked children start in 1 s; a new Python process for each takes 9 s.
    set_start_method('fork', force=True)
    for (file, images), flags in zip(parts, corrupt, strict=True):
        field = RGBImageField(write_mode='jpg', jpeg_quality=_QUALITY)
        writer = DatasetWriter(str(file), {'image': field}, num_workers=_THREADS)
        writer.from_indexed_dataset(_Images(images, shape, done, flags))
        del writer
    gc.collect()  # frees the semaphores of its queues
