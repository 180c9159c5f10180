"""Published data sets that torchvision reads: missing files are downloaded, and all files are verified.

To add one, register a Source below, with the checksums of the files that are read.
"""
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lth.datasets.downloads import download_torchvision, is_complete, locked, verify, verify_unpacked
from lth.datasets.registry import DATASETS
from lth.datasets.resizing import Statistics, make_dataset
from lth.datasets.source import Dataset, Source, Split
from lth.recipes.schema import DataSettings
from lth.system import lazy_import

torchvision = lazy_import.module('torchvision')

# Names of classes in the order of their labels.
_DIGITS = tuple('0123456789')
_CIFAR10 = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
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
_CIFAR100_FILES = {
    'train': '16019d7e3df5f24257cddd939b257f8d', 'test': 'f0ef6b0ae62326f3e7ffdfab6717acfc',
    'meta': '7973b15100ade9c7d40fb424638fde48'}
_SVHN_FILES = {
    'train_32x32.mat': 'e26dedcc434d2e4c54c9b2d4a06d8373', 'test_32x32.mat': 'eb5a983be6a315427106f1b164d9cef3'}
# The published checksums are those of the archives.
_KMNIST_FILES = {
    'train-images-idx3-ubyte.gz': 'bdb82020997e1d708af4cf47b453dcf7',
    'train-labels-idx1-ubyte.gz': 'e144d726b3acfaa3e44228e80efcd344',
    't10k-images-idx3-ubyte.gz': '5c965bf0a639b31b8f53240b1b52f4d7',
    't10k-labels-idx1-ubyte.gz': '7320c461ea6c1c855c0b718fb2a4b134'}


def _read(
        folder: Path, _settings: DataSettings, *, name: str, files: Mapping[str, str],
        statistics: Statistics | None = None,
        splits: Sequence[Mapping[str, Any]] = ({'train': True}, {'train': False}), subfolder: str = '') -> Dataset:
    """Training and test set of torchvision's data set `name`, which is called with the two sets of arguments `splits`.
    `statistics` are the mean and standard deviation, by default those of the training images.
    """

    dataset, folder = getattr(torchvision.datasets, name), folder / subfolder
    if not is_complete(folder, files):
        with locked(folder, name):
            _fetch(dataset, folder, files, splits)
    train, test = (_split(dataset(folder, **arguments)) for arguments in splits)
    return Dataset(train, test, *statistics) if statistics else make_dataset(train, test)


def _fetch(dataset: Any, folder: Path, files: Mapping[str, str], splits: Sequence[Mapping[str, Any]]) -> None:
    """Download and unpack what is missing, and verify all files: they are unpickled only afterwards."""

    verify(folder, files)
    # torchvision reads unpacked files, not the archives.
    if not all((folder / file.removesuffix('.gz')).exists() for file in files):
        for arguments in splits:
            download_torchvision(dataset, folder, files, **arguments)
        verify(folder, files)
    verify_unpacked(folder, files)


def _read_half(folder: Path, settings: DataSettings, *, half: int) -> Dataset:
    """Half 0 or 1 of CIFAR-10's training images of each class; all test images."""

    data = DATASETS.find('cifar10').read(folder, settings)
    images, labels = data.train
    assert isinstance(images, torch.Tensor)
    by_class = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    rows = torch.cat([rows.chunk(2)[half] for rows in by_class]).sort().values
    return replace(data, train=Split(images[rows], labels[rows]))


def _split(dataset: Any) -> Split:
    """Images and labels of a torchvision data set; channels come first."""

    images, labels = torch.as_tensor(dataset.data), getattr(dataset, 'targets', None)
    if labels is None:  # SVHN, whose channels come first already
        labels = dataset.labels
    else:
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return Split(images.contiguous(), torch.as_tensor(labels, dtype=torch.int64))


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f'{folder}/{file}': checksum for file, checksum in files.items()}


DATASETS.register('mnist')(Source(
    summary='handwritten digits (LeCun et al. 1998)', shape=(1, 28, 28), classes=10, image_counts=(60_000, 10_000),
    read=partial(_read, name='MNIST', files=_below('MNIST/raw', _MNIST_FILES), statistics=((0.1307,), (0.3081,))),
    class_names=_DIGITS))

DATASETS.register('fashion-mnist')(Source(
    summary='clothes (Xiao et al. 2017)', shape=(1, 28, 28), classes=10, image_counts=(60_000, 10_000),
    read=partial(_read, name='FashionMNIST', files=_below('FashionMNIST/raw', _FASHION_FILES),
                 statistics=((0.2860,), (0.3530,))),
    class_names=('T-shirt/top', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag',
                 'ankle boot')))

DATASETS.register('cifar10')(Source(
    summary='natural images in color (Krizhevsky 2009)', shape=(3, 32, 32), classes=10,
    image_counts=(50_000, 10_000),
    read=partial(_read, name='CIFAR10', files=_below('cifar-10-batches-py', _CIFAR10_FILES),
                 statistics=((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))),
    class_names=_CIFAR10))

for _half, (_name, _ordinal) in enumerate((('cifar10a', 'first'), ('cifar10b', 'second'))):
    DATASETS.register(_name)(Source(
        summary=f'{_ordinal} half of CIFAR-10, 2,500 images per class (Morcos et al. 2019)',
        shape=(3, 32, 32), classes=10, image_counts=(25_000, 10_000), read=partial(_read_half, half=_half),
        class_names=_CIFAR10))

DATASETS.register('kmnist')(Source(
    summary='cursive Japanese characters (Clanuwat et al. 2018)', shape=(1, 28, 28), classes=10,
    image_counts=(60_000, 10_000), read=partial(_read, name='KMNIST', files=_below('KMNIST/raw', _KMNIST_FILES))))

DATASETS.register('cifar100')(Source(
    summary='natural images in color (Krizhevsky 2009)', shape=(3, 32, 32), classes=100,
    image_counts=(50_000, 10_000),
    read=partial(_read, name='CIFAR100', files=_below('cifar-100-python', _CIFAR100_FILES))))

DATASETS.register('svhn')(Source(
    summary='house numbers in color (Netzer et al. 2011)', shape=(3, 32, 32), classes=10,
    image_counts=(73_257, 26_032),
    read=partial(_read, name='SVHN', files=_SVHN_FILES, splits=({'split': 'train'}, {'split': 'test'}),
                 subfolder='svhn'),
    class_names=_DIGITS))
