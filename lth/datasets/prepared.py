"""Folders of pictures written once as .beton files, which FFCV (Leclerc et al. 2023) streams at full speed.

    PATH/train-CxHxW.beton   PATH/test-CxHxW.beton   PATH/prepared-CxHxW.json: labels, written last

FFCV waits for ever when something breaks in one of its threads or processes, so all waiting here has an end.
"""
import contextlib
import functools
import gc
import importlib.util
import json
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, set_start_method
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lth import files, workers
from lth.datasets import decoding
from lth.datasets.decoding import Folders
from lth.datasets.source import Shape, Split
from lth.errors import LthError

_SECONDS_OF_PATIENCE = 120
_THREADS = min(8, os.cpu_count() or 1)
_QUALITY = 95
_INSTALL = "pip install 'lth[ffcv]' (the README names the system packages it needs)"

Tell = Callable[[int, int], None]
_Parts = list[tuple[Path, list[Path]]]


class Place(NamedTuple):
    """The files of one folder prepared at one shape."""

    train: Path
    test: Path
    labels: Path


@dataclass(frozen=True)
class BetonStream:
    """The pictures of a .beton file that decode, by their numbers in it."""

    file: Path
    picture: Shape
    numbers: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width)."""

        return len(self.numbers), *self.picture

    def batches(self, rows: Tensor, size: int) -> Iterator[Tensor]:
        """The pictures with these numbers, in batches of `size`; each is to be used up before the next is taken."""

        from ffcv.loader.epoch_iterator import EpochIterator  # pylint: disable=import-outside-toplevel # 2 s
        loader = _loader(self.file, size, torch.get_num_threads())
        iterator = EpochIterator(loader, self.numbers[rows].numpy().astype(np.uint64))
        try:
            while (item := self._next(iterator)) is not None:
                yield item[1][0].permute(0, 3, 1, 2)[:, :self.picture[0]]
        finally:
            _end(iterator)

    def _next(self, iterator: Any) -> Any:
        began = time.monotonic()
        while True:
            dead = not iterator.is_alive()
            try:
                return iterator.output_queue.get(timeout=0 if dead else 1)
            except queue.Empty:
                if dead or time.monotonic() - began > _SECONDS_OF_PATIENCE:
                    raise LthError(f'FFCV cannot read {self.file}: its thread {"broke off" if dead else "stands still"}'
                                   '. Delete the file and prepare it again with lth prepare.') from None


def opened(folders: Folders, shape: Shape) -> tuple[Split, Split] | None:
    """Training and test pictures as prepared; None if they were not prepared at this shape or FFCV is missing.

    An LthError if the files are torn, or made of another number of pictures than there are, if any are, now.
    """

    place = _place(folders.path, shape)
    if not place.labels.exists() or importlib.util.find_spec('ffcv') is None:
        return None
    facts = files.read_json(place.labels)
    then = len(facts['train']['labels']), len(facts['test']['labels'])
    there = len(folders.train.files), len(folders.test.files)
    if there not in (then, (0, 0)):
        raise LthError(f'{place.labels} is out of date: {then[0]} training and {then[1]} test pictures were prepared, '
                       f'there are {there[0]} and {there[1]} now. Prepare them again with lth prepare.')
    return _split(place.train, shape, facts['train']), _split(place.test, shape, facts['test'])


def advice(name: str) -> str:
    """How to have FFCV stream a data set."""

    installed = importlib.util.find_spec('ffcv') is not None
    return f'{"" if installed else _INSTALL + ", then "}lth prepare {name} writes them once for FFCV'


def written(folders: Folders, shape: Shape, undecodable: str, tell: Tell) -> list[Path]:
    """Writes what `opened` reads, whole or not at all. `tell` hears how many pictures of how many are done."""

    if importlib.util.find_spec('ffcv') is None:
        raise LthError(f'FFCV is not installed: {_INSTALL}.')
    place, parts = _place(folders.path, shape), {'train': folders.train, 'test': folders.test}
    betons = dict(zip(parts, (place.train, place.test)))
    partials = {name: file.with_name(f'{file.name}.partial') for name, file in betons.items()}
    facts = {}
    try:
        place.labels.unlink(missing_ok=True)
        broken = _write([(partials[name], part.files) for name, part in parts.items()], shape, tell)
        files_of_broken = [part.files[row] for part, rows in zip(parts.values(), broken) for row in rows]
        if undecodable == 'refuse' and files_of_broken:
            raise decoding.broken(files_of_broken, sum(len(part.files) for part in parts.values()))
        for (name, part), rows in zip(parts.items(), broken):
            os.replace(partials[name], betons[name])
            labels = part.labels.clone()
            labels[rows] = -1
            facts[name] = {'bytes': betons[name].stat().st_size, 'labels': labels.tolist()}
        files.write(place.labels, json.dumps(facts).encode())
    except OSError as error:
        raise LthError(files.unwritable(place.train, error)) from None
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return list(place)


def _split(file: Path, shape: Shape, facts: dict[str, Any]) -> Split:
    there = file.stat().st_size if file.exists() else 0
    if there != facts['bytes']:
        raise LthError(f'{file} is torn: it has {there} bytes, {facts["bytes"]} were written. Prepare it again with '
                       'lth prepare.')
    labels = torch.tensor(facts['labels'], dtype=torch.int64)
    numbers = (labels >= 0).nonzero().flatten()
    return Split(BetonStream(file, shape, numbers), labels[numbers])


def _place(path: Path, shape: Shape) -> Place:
    suffix = 'x'.join(map(str, shape))
    return Place(path / f'train-{suffix}.beton', path / f'test-{suffix}.beton', path / f'prepared-{suffix}.json')


@functools.lru_cache(maxsize=8)
def _loader(file: Path, size: int, threads: int) -> Any:
    """FFCV's loader, compiled for batches of `size`. It would set torch's threads to its own: so they are as many."""

    # Here, for they take 3 s and are seldom needed.
    # pylint: disable=import-outside-toplevel
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor
    return Loader(str(file), batch_size=size, num_workers=threads, order=OrderOption.SEQUENTIAL, drop_last=False,
                  pipelines={'image': [SimpleRGBImageDecoder(), ToTensor()]})


def _end(iterator: Any) -> None:
    """Lets FFCV's thread come to its end, for it must not read on in memory that is closed."""

    iterator.iter_ixes = iter(())
    iterator.terminate_event.set()
    began = time.monotonic()
    while iterator.is_alive() and time.monotonic() - began < _SECONDS_OF_PATIENCE:
        # It may be waiting to hand over a batch.
        with contextlib.suppress(queue.Empty):
            iterator.output_queue.get_nowait()
        iterator.join(0.01)
    iterator.close()


def _write(parts: _Parts, shape: Shape, tell: Tell) -> list[list[int]]:
    """Writes .beton files in a process with children of its own: the numbers of the pictures that do not decode."""

    context, log = get_context('spawn'), parts[0][0].with_suffix('.log')
    total = sum(len(pictures) for _, pictures in parts)
    done, broken = context.Value('q', 0), [context.Array('b', len(pictures), lock=False) for _, pictures in parts]
    process = workers.started_with_children(_work, parts, str(log), shape, done, broken)
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
        workers.kill_with_children(process)
        log.unlink(missing_ok=True)


class _Pictures:
    """What FFCV's writer asks for pictures, in its child processes; it must never raise."""

    def __init__(
            self, pictures: Sequence[Path], shape: Shape, done: 'Synchronized[int]', broken: 'Sequence[int]') -> None:
        self._pictures, self._shape, self._done, self._broken = pictures, shape, done, broken

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> tuple[np.ndarray[Any, Any]]:
        image = decoding.decoded(self._pictures[number], self._shape)
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
