"""Data sets in memory: the real ones where they are at hand, and what is said when they are not."""
import shutil
from pathlib import Path

import pytest
import torch

from lth.datasets import DATASETS
from lth.errors import LthError
from lth.recipe import DataSettings

SETTINGS = DataSettings(name='any')
MNIST = 'MNIST/raw/t10k-labels-idx1-ubyte'


def offline(*_arguments: object, **_options: object) -> None:
    raise OSError('no network')


@pytest.mark.parametrize(('name', 'files'), [
    ('mnist', MNIST),
    ('fashion-mnist', 'FashionMNIST/raw/t10k-labels-idx1-ubyte'),
    ('cifar10', 'cifar-10-batches-py/test_batch')])
def test_a_real_data_set_is_what_its_source_says(name, files, real_data):
    source = DATASETS.find(name)
    data = source.read(real_data(files), SETTINGS)
    assert data.train.images.dtype == torch.uint8 and data.train.images.is_contiguous()
    shapes = [tuple(split.images.shape) for split in (data.train, data.test)]
    assert shapes == [(count, *source.shape) for count in source.pictures]
    assert data.train.labels.bincount().numel() == data.test.labels.bincount().numel() == source.classes
    pixels = data.train.images[:20_000].double() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(data.mean, abs=0.005)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(data.std, abs=0.005)


def test_digits_are_always_there(tmp_path):
    source = DATASETS.find('digits')
    data = source.read(tmp_path, SETTINGS)
    assert (len(data.train.labels), len(data.test.labels)) == source.pictures
    assert data.train.images.shape[1:] == source.shape and data.train.images.max() == 255
    assert (data.train.images / 255.).mean().item() == pytest.approx(data.mean[0], abs=1e-3)
    assert (data.train.images / 255.).std().item() == pytest.approx(data.std[0], abs=1e-3)
    assert not list(tmp_path.iterdir())


def test_without_files_and_network_one_paragraph_says_which_files_go_where(tmp_path, monkeypatch):
    monkeypatch.setattr('torchvision.datasets.mnist.download_and_extract_archive', offline)
    says = 'MNIST is not in .*no network.*put these files into .*MNIST/raw: train-images-idx3-ubyte, '
    with pytest.raises(LthError, match=says) as caught:
        DATASETS.find('mnist').read(tmp_path / 'data', SETTINGS)
    assert '\n' not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(LthError, match='CIFAR10 is not in .*file/data'):
        DATASETS.find('cifar10').read(tmp_path / 'file' / 'data', SETTINGS)


def test_a_damaged_file_is_named_and_left_alone(tmp_path, real_data):
    shutil.copytree(real_data(MNIST) / 'MNIST', tmp_path / 'MNIST')
    damaged = tmp_path / MNIST
    content = bytearray(damaged.read_bytes())
    content[5000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(LthError, match='t10k-labels-idx1-ubyte is damaged: its MD5 is .*Delete it'):
        DATASETS.find('mnist').read(tmp_path, SETTINGS)
    assert damaged.read_bytes() == bytes(content)


def test_truncated_pictures_are_damaged_not_missing(tmp_path):
    file = tmp_path / 'cifar-10-batches-py' / 'data_batch_3'
    file.parent.mkdir()
    file.write_bytes(b'\x80\x02')
    with pytest.raises(LthError, match='data_batch_3 is damaged'):
        DATASETS.find('cifar10').read(Path(tmp_path), SETTINGS)
