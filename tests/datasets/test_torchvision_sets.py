"""Published data sets: the real files if they are present, small files in their formats, failed downloads."""
import gzip
import hashlib
import pickle
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from lth.datasets import DATASETS, imagenet, torchvision_sets
from lth.errors import LthError
from lth.recipes.schema import DataSettings

SETTINGS = DataSettings(name='any')
MNIST = 'MNIST/raw/t10k-labels-idx1-ubyte'


def offline(*_arguments: object, **_options: object) -> None:
    raise OSError('no network')


@pytest.mark.parametrize(('name', 'files'), [
    ('mnist', MNIST),
    ('fashion-mnist', 'FashionMNIST/raw/t10k-labels-idx1-ubyte'),
    ('cifar10', 'cifar-10-batches-py/test_batch')])
def test_real_data_have_the_shape_counts_and_statistics_of_their_source(name, files, real_data):
    source = DATASETS.find(name)
    data = source.read(real_data(files), SETTINGS)
    assert data.train.images.dtype == torch.uint8 and data.train.images.is_contiguous()
    shapes = [tuple(split.images.shape) for split in (data.train, data.test)]
    assert shapes == [(count, *source.shape) for count in source.image_counts]
    assert data.train.labels.bincount().numel() == data.test.labels.bincount().numel() == source.classes
    pixels = data.train.images[:20_000].double() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(data.mean, abs=0.005)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(data.std, abs=0.005)


def test_digits_need_no_files(tmp_path):
    source = DATASETS.find('digits')
    data = source.read(tmp_path, SETTINGS)
    assert (len(data.train.labels), len(data.test.labels)) == source.image_counts
    assert data.train.images.shape[1:] == source.shape and data.train.images.max() == 255
    assert (data.train.images / 255.).mean().item() == pytest.approx(data.mean[0], abs=1e-3)
    assert (data.train.images / 255.).std().item() == pytest.approx(data.std[0], abs=1e-3)
    assert not list(tmp_path.iterdir())


def test_digits_are_the_images_and_labels_that_scikit_learn_loads(tmp_path):
    data = DATASETS.find('digits').read(tmp_path, SETTINGS)
    pixels, classes = load_digits(return_X_y=True)
    images = torch.cat([data.train.images, data.test.images]).flatten(1).numpy()
    assert (images == np.round(pixels * 255 / 16)).all()
    assert torch.cat([data.train.labels, data.test.labels]).tolist() == classes.tolist()


def test_a_failed_download_says_which_files_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr('torchvision.datasets.mnist.download_and_extract_archive', offline)
    says = 'MNIST is not in .*no network.*put these files into .*MNIST/raw: train-images-idx3-ubyte, '
    with pytest.raises(LthError, match=says) as caught:
        DATASETS.find('mnist').read(tmp_path / 'data', SETTINGS)
    assert '\n' not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_download_to_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(LthError, match='CIFAR10 is not in .*file/data'):
        DATASETS.find('cifar10').read(tmp_path / 'file' / 'data', SETTINGS)


def test_a_corrupt_file_is_an_error_and_not_changed(tmp_path, real_data):
    shutil.copytree(real_data(MNIST) / 'MNIST', tmp_path / 'MNIST')
    corrupt = tmp_path / MNIST
    content = bytearray(corrupt.read_bytes())
    content[5000] ^= 1
    corrupt.write_bytes(content)
    with pytest.raises(LthError, match='t10k-labels-idx1-ubyte is corrupt: its MD5 is .*Delete it'):
        DATASETS.find('mnist').read(tmp_path, SETTINGS)
    assert corrupt.read_bytes() == bytes(content)


def test_a_truncated_file_is_corrupt_and_not_missing(tmp_path):
    file = tmp_path / 'cifar-10-batches-py' / 'data_batch_3'
    file.parent.mkdir()
    file.write_bytes(b'\x80\x02')
    with pytest.raises(LthError, match='data_batch_3 is corrupt'):
        DATASETS.find('cifar10').read(Path(tmp_path), SETTINGS)


def md5s(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob('*') if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def cifar100(folder: Path) -> None:
    (folder / 'cifar-100-python').mkdir()
    for name in ('train', 'test'):
        content = {'data': np.arange(5 * 3072, dtype=np.uint8).reshape(5, 3072), 'fine_labels': [0, 1, 2, 3, 99]}
        (folder / 'cifar-100-python' / name).write_bytes(pickle.dumps(content))
    (folder / 'cifar-100-python' / 'meta').write_bytes(pickle.dumps({'fine_label_names': [str(n) for n in range(100)]}))


def svhn(folder: Path) -> None:
    (folder / 'svhn').mkdir()
    images = np.arange(5 * 3072, dtype=np.uint8).reshape(5, 3, 32, 32).transpose(2, 3, 1, 0)
    for name in ('train', 'test'):
        labels = np.array([[10], [1], [2], [3], [9]])
        scipy.io.savemat(folder / 'svhn' / f'{name}_32x32.mat', {'X': images, 'y': labels})


def kmnist(folder: Path) -> None:
    raw = folder / 'KMNIST' / 'raw'
    raw.mkdir(parents=True)
    for name in ('train', 't10k'):
        images = np.arange(5 * 784, dtype=np.uint8).tobytes()
        for kind, content in (('images-idx3', b'\0\0\x08\x03\0\0\0\x05\0\0\0\x1c\0\0\0\x1c' + images),
                              ('labels-idx1', b'\0\0\x08\x01\0\0\0\x05\x00\x01\x02\x03\x09')):
            (raw / f'{name}-{kind}-ubyte').write_bytes(content)
            (raw / f'{name}-{kind}-ubyte.gz').write_bytes(gzip.compress(content))


@pytest.mark.parametrize(('make', 'name', 'shape', 'labels'), [
    (cifar100, 'CIFAR100', (3, 32, 32), [0, 1, 2, 3, 99]), (svhn, 'SVHN', (3, 32, 32), [0, 1, 2, 3, 9]),
    (kmnist, 'KMNIST', (1, 28, 28), [0, 1, 2, 3, 9])])
def test_files_in_the_published_layout_are_read(
        tmp_path, monkeypatch, make: Callable[[Path], None], name: str, shape: tuple[int, ...], labels: list[int]):
    make(tmp_path)
    monkeypatch.setattr(getattr(torchvision.datasets, name), '_check_integrity', lambda _: True, raising=False)
    monkeypatch.setattr('torchvision.datasets.cifar.check_integrity', lambda *_: True)
    inner = tmp_path / 'svhn' if name == 'SVHN' else tmp_path
    options = {'subfolder': 'svhn', 'splits': ({'split': 'train'}, {'split': 'test'})} if name == 'SVHN' else {}
    read: Callable[..., Any] = partial(torchvision_sets._read, name=name, files=md5s(inner), **options)
    data = read(tmp_path, SETTINGS)
    assert data.train.images.shape == (5, *shape) and data.train.labels.tolist() == labels
    assert data.test.images.flatten().tolist() == list(np.arange(data.test.images.numel()) % 256)
    corrupt = max((path for path in inner.rglob('*') if path.is_file()), key=lambda path: path.name)
    corrupt.write_bytes(corrupt.read_bytes() + b'x')
    with pytest.raises(LthError, match=f'{corrupt.name} is corrupt'):
        read(tmp_path, SETTINGS)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A folder with the archive of a Tiny-ImageNet of three classes, whose checksum replaces the published one."""

    words, root = ['n03', 'n01', 'n02'], tmp_path / 'made' / 'tiny-imagenet-200'
    for number, word in enumerate(words):
        (root / 'train' / word / 'images').mkdir(parents=True)
        for index in range(2):
            Image.new('RGB' if index else 'L', (64, 64), 50 * number).save(
                root / 'train' / word / 'images' / f'{word}_{index}.JPEG')
    (root / 'val' / 'images').mkdir(parents=True)
    for number in range(4):
        Image.new('RGB', (64, 64)).save(root / 'val' / 'images' / f'val_{number}.JPEG')
    rows = [f'val_{number}.JPEG\t{words[number % 3]}\t0\t0\t62\t62' for number in (1, 0, 3, 2)]
    (root / 'val' / 'val_annotations.txt').write_text('\n'.join(rows) + '\n')
    (root / 'wnids.txt').write_text('\n'.join(words) + '\n')
    (tmp_path / 'data').mkdir()
    archive = tmp_path / 'data' / 'tiny-imagenet-200.zip'
    with zipfile.ZipFile(archive, 'w') as file:
        for path in sorted(root.rglob('*')):
            file.write(path, path.relative_to(tmp_path / 'made'))
    checksum = hashlib.md5(archive.read_bytes()).hexdigest()
    unpack = imagenet.download_and_unpack
    monkeypatch.setattr(
        imagenet, 'download_and_unpack', lambda folder, name, url, _: unpack(folder, name, url, checksum))
    return tmp_path / 'data'


def test_tiny_imagenet_is_unpacked_and_its_test_labels_are_read_from_the_annotations(tiny):
    data = DATASETS.find('tiny-imagenet').read(tiny, SETTINGS)
    assert data.train.images.shape == (6, 3, 64, 64) and data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.train.images[::2, 0, 0, 0].tolist() == [50, 100, 0]  # n01, n02, n03: the classes are sorted
    assert data.test.labels.tolist() == [0, 2, 2, 1]
    assert [path.name for path in sorted(tiny.iterdir())] == ['decoded', 'tiny-imagenet-200', 'tiny-imagenet-200.zip']


@pytest.mark.parametrize(('change', 'says'), [
    (lambda folder: (folder / 'tiny-imagenet-200' / 'val' / 'images' / 'val_2.JPEG').unlink(), 'val_2.JPEG is missing'),
    (lambda folder: (folder / 'tiny-imagenet-200' / 'val' / 'val_annotations.txt').write_text('x\n'),
     'is not the published Tiny-ImageNet'),
    (lambda folder: (folder / 'tiny-imagenet-200' / 'wnids.txt').unlink(), 'is not the published Tiny-ImageNet')])
def test_an_incomplete_tiny_imagenet_is_an_error(tiny, change: Callable[[Path], object], says):
    DATASETS.find('tiny-imagenet').read(tiny, SETTINGS)
    change(tiny)
    with pytest.raises(LthError, match=says):
        DATASETS.find('tiny-imagenet').read(tiny, SETTINGS)


def test_an_archive_with_another_checksum_is_refused_and_nothing_is_unpacked(tmp_path):
    (tmp_path / 'tiny-imagenet-200.zip').write_bytes(b'no archive')
    with pytest.raises(LthError, match='tiny-imagenet-200.zip is corrupt: its MD5 is .* published file is 90528d7c'):
        DATASETS.find('tiny-imagenet').read(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ['tiny-imagenet-200.zip']


def test_a_failed_download_of_an_archive_names_its_address(tmp_path, monkeypatch):
    monkeypatch.setattr('torchvision.datasets.utils.download_url', offline)
    says = 'could not be downloaded or unpacked .*no network.*put tiny-imagenet-200.zip .http://cs231n'
    with pytest.raises(LthError, match=says):
        DATASETS.find('tiny-imagenet').read(tmp_path, SETTINGS)


def test_archives_are_unpacked_and_files_that_differ_from_their_archive_are_refused(tmp_path, monkeypatch):
    kmnist(tmp_path)
    raw = tmp_path / 'KMNIST' / 'raw'
    archives = {name: checksum for name, checksum in md5s(tmp_path).items() if name.endswith('.gz')}
    for file in raw.glob('*-ubyte'):
        file.unlink()
    resources = [(Path(name).name, checksum) for name, checksum in archives.items()]
    monkeypatch.setattr('torchvision.datasets.KMNIST.resources', resources)
    read = partial(torchvision_sets._read, name='KMNIST', files=archives)
    assert read(tmp_path, SETTINGS).train.labels.tolist() == [0, 1, 2, 3, 9]
    labels = raw / 'train-labels-idx1-ubyte'
    labels.write_bytes(labels.read_bytes()[:-1] + b'\x08')
    with pytest.raises(LthError, match='train-labels-idx1-ubyte is corrupt: it differs from the content of '):
        read(tmp_path, SETTINGS)
