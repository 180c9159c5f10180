"""Published data sets, downloaded by torchvision: files are looked for, fetched if missing, and always verified.

To add one, register a Source below with the checksums of the files that are read.
"""
import contextlib
import io
import tarfile
import zlib
from collections.abc import Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch

from lth.datasets.source import DATASETS, Dataset, Source, Split
from lth.errors import LthError

_MNIST_FILES = {
    'train-images-idx3-ubyte': '6bbc9ace898e44ae57da46a324031adb',
    'train-labels-idx1-ubyte': 'a25bea736e30d166cdddb491f175f624',
    't10k-images-idx3-ubyte': '2646ac647ad5339dbf082846283269ea',
    't10k-labels-idx1-ubyte': '27ae3e4e09519cfbb04c329615203637'}
_FASHION_FILES = {
    'train-images-idx3-ubyte': 'f4a8712d7a061bf5bd6d2ca38dc4d50a',
    'train-labels-idx1-ubyte': '9018921c3c673c538a1fc5bad174d6f9',
    't10k-images-idx3-ubyte': '8181f5470baa50b63fa0f6fddb340f0a',
    't10k-labels-idx1-ubyte': '15d484375f8d13e6eb1aabb0c3f46965'}
_CIFAR10_FILES = {
    'data_batch_1': 'c99cafc152244af753f735de768cd75f', 'data_batch_2': 'd4bba439e000b95fd0a9bffe97cbabec',
    'data_batch_3': '54ebc095f3ab1f0389bbae665268c751', 'data_batch_4': '634d18415352ddfa80567beed471001a',
    'data_batch_5': '482c414d41f54cd18b22e5b47cb7c3cb', 'test_batch': '40351d587109b95175f43aff81a1287e',
    'batches.meta': '5ff9c542aee3614f3951f8cda6e48888'}


def _read(
        folder: Path, *, name: str, files: Mapping[str, str], mean: tuple[float, ...], std: tuple[float, ...],
) -> Dataset:
    """Both splits of the data set `name` of torchvision, kept below `folder` as torchvision lays them out."""

    # Here, for it takes 2 s that `list` and `--dry-run` do without.
    from torchvision import datasets  # pylint: disable=import-outside-toplevel
    _verify(folder, files)
    if not all((folder / file).exists() for file in files):
        _download(getattr(datasets, name), folder, files)
        _verify(folder, files)
    train, test = (getattr(datasets, name)(folder, train=train) for train in (True, False))
    return Dataset(_split(train), _split(test), mean, std)


def _verify(folder: Path, files: Mapping[str, str]) -> None:
    """Refuses a file that is there but is not the published one."""

    from torchvision.datasets.utils import calculate_md5  # pylint: disable=import-outside-toplevel # as above
    for file, checksum in files.items():
        path = folder / file
        if path.exists() and (found := calculate_md5(path)) != checksum:
            raise LthError(f'{path} is damaged: its MD5 is {found}, the published file has {checksum}. Delete it, and '
                           'the same command fetches it anew; or put a good copy there.')


def _download(dataset: Any, folder: Path, files: Mapping[str, str]) -> None:
    """Fetches what is missing, or says which files go where."""

    made = [parent for parent in ((folder / next(iter(files))).parents) if not parent.exists()]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            folder.mkdir(parents=True, exist_ok=True)
            dataset(folder, download=True)
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, zlib.error) as error:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        wanted = ', '.join(Path(file).name for file in files)
        place = (folder / next(iter(files))).parent
        raise LthError(f'{dataset.__name__} is not in {folder.resolve()} and could not be downloaded there '
                       f'({_one_line(error)}). Choose a folder that can be written, connect to the network, or put '
                       f'these files into {place}: {wanted}.') from None


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())


def _split(dataset: Any) -> Split:
    """The pictures of a torchvision data set, channels first."""

    images = torch.as_tensor(dataset.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return Split(images.contiguous(), torch.as_tensor(dataset.targets, dtype=torch.int64))


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f'{folder}/{file}': checksum for file, checksum in files.items()}


DATASETS.register('mnist')(Source(
    summary='handwritten digits (LeCun et al. 1998)', shape=(1, 28, 28), classes=10, pictures=(60_000, 10_000),
    read=partial(_read, name='MNIST', files=_below('MNIST/raw', _MNIST_FILES), mean=(0.1307,), std=(0.3081,))))

DATASETS.register('fashion-mnist')(Source(
    summary='pictures of clothes (Xiao et al. 2017)', shape=(1, 28, 28), classes=10, pictures=(60_000, 10_000),
    read=partial(_read, name='FashionMNIST', files=_below('FashionMNIST/raw', _FASHION_FILES),
                 mean=(0.2860,), std=(0.3530,))))

DATASETS.register('cifar10')(Source(
    summary='natural pictures in colour (Krizhevsky 2009)', shape=(3, 32, 32), classes=10, pictures=(50_000, 10_000),
    read=partial(_read, name='CIFAR10', files=_below('cifar-10-batches-py', _CIFAR10_FILES),
                 mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))))
