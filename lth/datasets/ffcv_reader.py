"""Images that ffcv_writer.py wrote, streamed by FFCV (Leclerc et al. 2023).

FFCV waits forever if one of its threads fails, so every wait in this module has a timeout.
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
from lth.system.json_text import read_json

_TIMEOUT_SECONDS = 120
_MOST_BYTES_OF_LABELS = 2 ** 30  # the labels of ImageNet have 6,000,000
INSTALL = "pip install 'lth[ffcv]' (the README names the system packages it needs)"


class PreparedFiles(NamedTuple):
    """The files of one folder, prepared for images of one shape. `labels` also has facts about the other two."""

    train: Path
    test: Path
    labels: Path


def prepared_files(path: Path, shape: Shape) -> PreparedFiles:
    """Paths of a folder's prepared files, whether they exist or not."""

    size = 'x'.join(map(str, shape))
    return PreparedFiles(path / f'train-{size}.beton', path / f'test-{size}.beton', path / f'prepared-{size}.json')


@dataclass(frozen=True)
class BetonStream:
    """The images of a .beton file at these positions (n,)."""

    file: Path
    image_shape: Shape
    positions: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width)."""

        return len(self.positions), *self.image_shape

    def batches(self, indices: Tensor, size: int) -> Iterator[Tensor]:
        """Yield the images with these indices, in batches of `size`. A batch is valid until the next is requested."""

        threads = torch.get_num_threads()
        iterator = _start_iterator(self.file, size, threads, self.positions[indices].numpy().astype(np.uint64))
        torch.set_num_threads(threads)  # FFCV changes it when it is imported and when it starts
        try:
            while (item := self._next(iterator)) is not None:
                yield item[1][0].permute(0, 3, 1, 2)[:, :self.image_shape[0]]
        finally:
            _stop_iterator(iterator)

    def _next(self, iterator: Any) -> Any:
        started = time.monotonic()
        while True:
            dead = not iterator.is_alive()
            try:
                return iterator.output_queue.get(timeout=0 if dead else 1)
            except queue.Empty:
                if dead or time.monotonic() - started > _TIMEOUT_SECONDS:
                    reason = 'failed' if dead else f'returned no batch for {_TIMEOUT_SECONDS} s'
                    raise LthError(f'FFCV cannot read {self.file}: its thread {reason}. Delete the file and prepare it '
                                   'again with lth prepare.') from None


def open_splits(folders: ImageFolders, shape: Shape, settings: DataSettings) -> tuple[Split, Split] | None:
    """Training and test set as prepared; None if they were not prepared at this shape, or if FFCV is not installed.

    LthError if a prepared file is corrupt, if image files have changed since (unless there are none any more), or if
    images could not be decoded and the settings don't skip them.
    """

    if not is_prepared(folders.path, shape):
        return None
    prepared = prepared_files(folders.path, shape)
    facts = read_json(prepared.labels, at_most=_MOST_BYTES_OF_LABELS,
                      advice='Delete it, and prepare the images again with lth prepare.')
    parts = ((folders.train, facts['train']), (folders.test, facts['test']))
    if any(folder.files and fingerprint(folder) != known['fingerprint'] for folder, known in parts):
        raise LthError(f'{prepared.labels} is out of date: image files were changed, added or deleted since it was '
                       'written. Prepare them again with lth prepare.')
    missing = sum(known['labels'].count(-1) for _, known in parts)
    if missing and settings.undecodable == 'refuse':
        raise LthError(f'{prepared.labels}: {missing} images could not be decoded when they were prepared. Train '
                       'without them with --set data.undecodable=skip, or repair them and prepare again.')
    return _split(prepared.train, facts['train'], shape), _split(prepared.test, facts['test'], shape)


def is_prepared(path: Path, shape: Shape) -> bool:
    """Whether a folder was prepared at this shape and FFCV is installed to read it."""

    return prepared_files(path, shape).labels.exists() and is_installed()


def is_installed() -> bool:
    """Whether FFCV is installed."""

    return importlib.util.find_spec('ffcv') is not None


def advice(name: str, settings: DataSettings) -> str:
    """How to prepare a data set for FFCV: the command, and how to install FFCV if it is not installed."""

    install = '' if is_installed() else f'{INSTALL}, then '
    options = ''.join(f' --{option} {value}' for option, value in (
        ('size', settings.size), ('channels', settings.channels)) if value)
    return f'{install}lth prepare {name}{options} writes them once for FFCV'


def _split(file: Path, facts: dict[str, Any], shape: Shape) -> Split:
    size = file.stat().st_size if file.exists() else 0
    if size != facts['bytes']:
        raise LthError(f'{file} is corrupt: it has {size} bytes, but {facts["bytes"]} were written. Prepare it again '
                       'with lth prepare.')
    labels = torch.tensor(facts['labels'], dtype=torch.int64)
    positions = (labels >= 0).nonzero().flatten()
    return Split(BetonStream(file, shape, positions), labels[positions])


def _start_iterator(file: Path, size: int, threads: int, positions: np.ndarray[Any, Any]) -> Any:
    """FFCV's thread that decodes the images at these positions, in this order."""

    from ffcv.loader.epoch_iterator import EpochIterator  # pylint: disable=import-outside-toplevel # optional
    return EpochIterator(_loader(file, size, min(threads, os.cpu_count() or 1)), positions)


@functools.lru_cache(maxsize=8)
def _loader(file: Path, size: int, threads: int) -> Any:
    """FFCV's loader, compiled for batches of `size`."""

    # pylint: disable=import-outside-toplevel # optional
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor
    try:
        return Loader(str(file), batch_size=size, num_workers=threads, order=OrderOption.SEQUENTIAL, drop_last=False,
                      pipelines={'image': [SimpleRGBImageDecoder(), ToTensor()]})
    except (AssertionError, ValueError, KeyError) as error:
        raise LthError(f'FFCV cannot read {file}: {error}. Prepare it again with lth prepare.') from None


def _stop_iterator(iterator: Any) -> None:
    """Wait until FFCV's thread has ended, as it would go on reading from memory that is closed."""

    iterator.iter_ixes = iter(())
    iterator.terminate_event.set()
    started = time.monotonic()
    while iterator.is_alive() and time.monotonic() - started < _TIMEOUT_SECONDS:
        # The thread may wait for space in the queue.
        with contextlib.suppress(queue.Empty):
            iterator.output_queue.get_nowait()
        iterator.join(0.01)
    iterator.close()
