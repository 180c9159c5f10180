"""Files that are fetched once: by one process at a time, verified before they are unpickled, unpacked into one folder.
"""
import hashlib
import io
import pickle
import tarfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torchvision

from lth.datasets import DATASETS, downloads
from lth.errors import LthError
from lth.recipes.schema import DataSettings


class Marker:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def make_zip(path: Path, *names: str) -> str:
    """Write a zip file with small files of these names; its MD5."""

    with zipfile.ZipFile(path, 'w') as file:
        for name in names:
            file.writestr(name, 'content')
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_two_first_reads_at_the_same_time_unpack_once(tmp_path, monkeypatch):
    checksum, unpacked, unpack = make_zip(tmp_path / 'images.zip', 'images/a'), [], downloads._unpack_zip

    def slow(archive, folder):
        unpacked.append(archive)
        time.sleep(0.1)
        unpack(archive, folder)
    monkeypatch.setattr(downloads, '_unpack_zip', slow)
    with ThreadPoolExecutor(2) as pool:
        reads = [pool.submit(downloads.download_and_unpack, tmp_path, 'images', '', checksum) for _ in range(2)]
        assert [read.result() for read in reads] == [tmp_path / 'images'] * 2
    assert len(unpacked) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ['images', 'images.zip']


def test_a_file_that_another_process_still_writes_is_not_called_corrupt(tmp_path, monkeypatch):
    file, content = tmp_path / 'MNIST/raw/a', b'complete'
    file.parent.mkdir(parents=True)
    file.write_bytes(content[:3])
    files = {'MNIST/raw/a': hashlib.md5(content).hexdigest()}
    started = threading.Event()

    def write() -> None:
        with downloads.locked(tmp_path, 'MNIST'):
            started.set()
            time.sleep(0.1)
            file.write_bytes(content)
    writer = threading.Thread(target=write)
    writer.start()
    started.wait()
    assert not downloads.is_complete(tmp_path, files)
    with downloads.locked(tmp_path, 'MNIST'):
        downloads.verify(tmp_path, files)
    writer.join()
    assert downloads.is_complete(tmp_path, files)


@pytest.mark.parametrize('name', ['../outside', '/tmp/outside-of-lth', 'images/../../outside'])
def test_an_archive_with_a_name_outside_of_its_folder_is_refused(tmp_path, name):
    data = tmp_path / 'data'
    data.mkdir()
    checksum = make_zip(data / 'images.zip', 'images/a', name)
    with pytest.raises(LthError, match='which is outside of its folder'):
        downloads.download_and_unpack(data, 'images', '', checksum)
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['data', 'images.zip']


def test_tar_files_that_torchvision_unpacks_write_only_below_their_folder(tmp_path):
    with tarfile.open(tmp_path / 'a.tar', 'w') as file:
        member = tarfile.TarInfo('../outside')
        member.size = 1
        file.addfile(member, io.BytesIO(b'x'))
    with downloads._safe_tar_files(), tarfile.open(tmp_path / 'a.tar') as file, pytest.raises(tarfile.TarError):
        file.extractall(tmp_path / 'inner')
    assert not (tmp_path / 'outside').exists()


@pytest.mark.parametrize('name', ['cifar10', 'cifar100'])
def test_a_file_of_cifar_with_another_checksum_is_never_unpickled(tmp_path, monkeypatch, name):
    monkeypatch.setattr(torchvision.datasets.utils, 'download_url', None)
    folder = tmp_path / ('cifar-10-batches-py' if name == 'cifar10' else 'cifar-100-python')
    folder.mkdir()
    files = [f'data_batch_{number}' for number in range(1, 6)] + ['test_batch', 'batches.meta']
    for file in files if name == 'cifar10' else ('train', 'test', 'meta'):
        (folder / file).write_bytes(pickle.dumps(Marker(tmp_path / 'executed')))
    with pytest.raises(LthError, match='is corrupt: its MD5 is'):
        DATASETS.find(name).read(tmp_path, DataSettings(name='any'))
    assert not (tmp_path / 'executed').exists()
