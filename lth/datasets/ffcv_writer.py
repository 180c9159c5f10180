"""Folders of pictures written once as .beton files, which FFCV (Leclerc et al. 2023) streams at full speed.

    PATH/train-CxHxW.beton   PATH/test-CxHxW.beton   PATH/prepared-CxHxW.json: labels, written last

FFCV waits for ever when something breaks in one of its processes, so all waiting here has an end.
"""
import gc
import json
import os
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context, set_start_method
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lth.datasets import image_files
from lth.datasets.ffcv_reader import INSTALL, PreparedFiles, is_installed, prepared_files
from lth.datasets.image_files import ImageFolders
from lth.datasets.source import Shape
from lth.errors import LthError
from lth.system import file_lock, files, processes

_SECONDS_OF_PATIENCE = 120
_THREADS = min(8, os.cpu_count() or 1)
_QUALITY = 95

Tell = Callable[[int, int], None]
_Parts = list[tuple[Path, list[Path]]]


def write_prepared(folders: ImageFolders, shape: Shape, undecodable: str, tell: Tell) -> list[Path]:
    """Writes what `prepared` reads, whole or not at all. `tell` hears how many pictures of how many are done."""

    if not is_installed():
        raise LthError(f'FFCV is not installed: {INSTALL}.')
    where = prepared_files(folders.path, shape)
    partials = [file.with_name(f'{file.name}.partial') for file in (where.train, where.test)]
    with file_lock.hold(folders.path):
        for left_over in folders.path.glob('*.beton.partial*'):
            left_over.unlink()
        try:
            parts = list(zip(partials, (folders.train.files, folders.test.files)))
            broken = _write(parts, shape, tell)
            unread = [pictures[row] for (_, pictures), rows in zip(parts, broken) for row in rows]
            if undecodable == 'refuse' and unread:
                raise image_files.undecodable_error(unread, sum(len(pictures) for _, pictures in parts), '--undecodable skip')
            _put(folders, where, partials, broken)
        except OSError as error:
            raise files.write_error(where.train, error) from None
        finally:
            for partial in partials:
                partial.unlink(missing_ok=True)
    return list(where)


def _put(folders: ImageFolders, where: PreparedFiles, partials: Sequence[Path], broken: Sequence[list[int]]) -> None:
    """Puts the files that were written in their places, with what tells that they are whole and up to date."""

    facts = {}
    where.labels.unlink(missing_ok=True)
    for name, folder, file, partial, rows in zip(
            ('train', 'test'), (folders.train, folders.test), (where.train, where.test), partials, broken):
        os.replace(partial, file)
        labels = folder.labels.clone()
        labels[rows] = -1
        facts[name] = {'bytes': file.stat().st_size, 'labels': labels.tolist(),
                       'fingerprint': image_files.fingerprint(folder)}
    files.write(where.labels, json.dumps(facts).encode())


def _write(parts: _Parts, shape: Shape, tell: Tell) -> list[list[int]]:
    """Writes .beton files in a process with children of its own: the numbers of the pictures that do not decode."""

    context, log = get_context('spawn'), parts[0][0].with_suffix('.partial.log')
    total = sum(len(pictures) for _, pictures in parts)
    done, broken = context.Value('q', 0), [context.Array('b', len(pictures), lock=False) for _, pictures in parts]
    process = processes.start_process_group(_work, parts, str(log), shape, done, broken)
    try:
        count, since = -1, time.monotonic()
        while process.is_alive():
            if done.value != count:
                count, since = done.value, time.monotonic()
                tell(min(count, total - 1), total)
            if time.monotonic() - since > _SECONDS_OF_PATIENCE:
                raise LthError(f'FFCV stands still at picture {count} of {total}; perhaps memory or shared memory '
                               '(/dev/shm) ran out. Try again with more, or with fewer cores (taskset).')
            process.join(0.1)
        if process.exitcode or done.value != total:
            said = log.read_text(errors='replace').strip().splitlines() if log.exists() else []
            raise LthError(f'FFCV could not write below {log.parent}: its process ended with {process.exitcode} after '
                           f'{done.value} of {total} pictures. {said[-1] if said else "It said nothing."}')
        tell(total, total)
        return [[row for row, bad in enumerate(part) if bad] for part in broken]
    finally:
        processes.kill_process_group(process)
        log.unlink(missing_ok=True)


class _Pictures:
    """What FFCV's writer asks for pictures, in its child processes; it must never raise."""

    def __init__(
            self, pictures: Sequence[Path], shape: Shape, done: 'Synchronized[int]', broken: 'Sequence[int]') -> None:
        self._pictures, self._shape, self._done, self._broken = pictures, shape, done, broken

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> tuple[np.ndarray[Any, Any]]:
        try:
            image = image_files.decode(self._pictures[number], self._shape)
        except LthError:
            image = None
        if image is None:
            self._broken[number] = 1  # type: ignore[index]
            image = torch.zeros(self._shape, dtype=torch.uint8)
        with self._done.get_lock():
            self._done.value += 1
        return (image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy(),)


def _work(
        parts: _Parts, log: str, shape: Shape, done: 'Synchronized[int]', broken: Sequence[Sequence[int]]) -> None:
    """What the writing process does."""

    # FFCV draws a bar of its own. What else it says is told if it fails.
    told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(told, 1)
    os.dup2(told, 2)
    from ffcv.fields import RGBImageField  # pylint: disable=import-outside-toplevel # as in _loader
    from ffcv.writer import DatasetWriter  # pylint: disable=import-outside-toplevel
    torch.set_num_threads(1)
    # 1 s for its children to start, where a fresh Python in each takes 9 s.
    set_start_method('fork', force=True)
    for (file, pictures), bad in zip(parts, broken, strict=True):
        field = RGBImageField(write_mode='jpg', jpeg_quality=_QUALITY)
        writer = DatasetWriter(str(file), {'image': field}, num_workers=_THREADS)
        writer.from_indexed_dataset(_Pictures(pictures, shape, done, bad))
        del writer
    gc.collect()  # gives back the semaphores of its queues
