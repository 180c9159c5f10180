"""Pictures as `preparing` writes them, streamed by FFCV (Leclerc et al. 2023).

FFCV waits for ever when something breaks in one of its threads, so all waiting here has an end.
"""
import contextlib
import functools
import importlib.util
import os
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lth.datasets.image_files import ImageFolders, fingerprint
from lth.datasets.source import Shape, Split
from lth.errors import LthError
from lth.recipes.schema import DataSettings
from lth.system import files

_SECONDS_OF_PATIENCE = 120
INSTALL = "pip install 'lth[ffcv]' (the README names the system packages it needs)"


class PreparedFiles(NamedTuple):
    """The files of one folder prepared at one shape."""

    train: Path
    test: Path
    labels: Path


def prepared_files(path: Path, shape: Shape) -> PreparedFiles:
    """Where a folder's prepared files lie."""

    suffix = 'x'.join(map(str, shape))
    return PreparedFiles(path / f'train-{suffix}.beton', path / f'test-{suffix}.beton', path / f'prepared-{suffix}.json')


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

        threads = torch.get_num_threads()
        iterator = _iterator(self.file, size, threads, self.numbers[rows].numpy().astype(np.uint64))
        torch.set_num_threads(threads)  # FFCV sets torch's as well, when it is imported and when it begins
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


def open_splits(folders: ImageFolders, shape: Shape, settings: DataSettings) -> tuple[Split, Split] | None:
    """Training and test pictures as prepared; None if they were not prepared at this shape or FFCV is missing.

    An LthError if the files are torn, or lack pictures that did not decode and must not be skipped, or if the folders'
    files, where there are any, have changed since.
    """

    if not is_prepared(folders.path, shape):
        return None
    where = prepared_files(folders.path, shape)
    facts = files.read_json(where.labels)
    parts = ((folders.train, facts['train']), (folders.test, facts['test']))
    if any(folder.files and fingerprint(folder) != known['fingerprint'] for folder, known in parts):
        raise LthError(f'{where.labels} is out of date: picture files were changed, added or taken away since. Prepare '
                       'them again with lth prepare.')
    missing = sum(known['labels'].count(-1) for _, known in parts)
    if missing and settings.undecodable == 'refuse':
        raise LthError(f'{where.labels}: {missing} pictures did not decode when they were prepared. Train without them '
                       'by --set data.undecodable=skip, or mend them and prepare again.')
    return _split(where.train, facts['train'], shape), _split(where.test, facts['test'], shape)


def is_prepared(path: Path, shape: Shape) -> bool:
    """Whether a folder was prepared at this shape, and FFCV is there to read it."""

    return prepared_files(path, shape).labels.exists() and is_installed()


def is_installed() -> bool:
    """Whether FFCV is there to read and write."""

    return importlib.util.find_spec('ffcv') is not None


def advice(name: str, settings: DataSettings) -> str:
    """How to have FFCV stream a data set."""

    options = ''.join(f' --{option} {value}' for option, value in (
        ('size', settings.size), ('channels', settings.channels)) if value)
    return f'{"" if is_installed() else INSTALL + ", then "}lth prepare {name}{options} writes them once for FFCV'


def _split(file: Path, facts: dict[str, Any], shape: Shape) -> Split:
    there = file.stat().st_size if file.exists() else 0
    if there != facts['bytes']:
        raise LthError(f'{file} is torn: it has {there} bytes, {facts["bytes"]} were written. Prepare it again with '
                       'lth prepare.')
    labels = torch.tensor(facts['labels'], dtype=torch.int64)
    numbers = (labels >= 0).nonzero().flatten()
    return Split(BetonStream(file, shape, numbers), labels[numbers])


def _iterator(file: Path, size: int, threads: int, numbers: np.ndarray[Any, Any]) -> Any:
    """FFCV's thread that decodes these pictures in this order."""

    from ffcv.loader.epoch_iterator import EpochIterator  # pylint: disable=import-outside-toplevel # 2 s
    return EpochIterator(_loader(file, size, min(threads, os.cpu_count() or 1)), numbers)


@functools.lru_cache(maxsize=8)
def _loader(file: Path, size: int, threads: int) -> Any:
    """FFCV's loader, compiled for batches of `size`."""

    # pylint: disable=import-outside-toplevel # as above
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor
    try:
        return Loader(str(file), batch_size=size, num_workers=threads, order=OrderOption.SEQUENTIAL, drop_last=False,
                      pipelines={'image': [SimpleRGBImageDecoder(), ToTensor()]})
    except (AssertionError, ValueError, KeyError) as error:
        raise LthError(f'FFCV cannot read {file}: {error}. Prepare it again with lth prepare.') from None


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
