"""Files that are downloaded once and verified: only archives with the published checksum are unpacked."""
import contextlib
import gzip
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from lth.errors import LthError, quote
from lth.system import file_lock, lazy_import, reading

utils = lazy_import.module('torchvision.datasets.utils')

# Raised by torchvision when it downloads or unpacks.
_ERRORS = (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, BadZipFile, zlib.error)


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Let no other process fetch, unpack or verify the data set `name` in the folder during the block; wait for one
    that does. A folder that cannot be written is not locked.
    """

    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if existing.is_dir() and os.access(existing, os.W_OK):
        with file_lock.hold_patiently(folder / f'.{name}.lock'):
            yield
    else:
        yield


def is_complete(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether all files are unpacked and have the published checksums."""

    if not all((folder / file.removesuffix('.gz')).exists() for file in files):
        return False
    try:
        verify(folder, files)
        verify_unpacked(folder, files)
    except (LthError, OSError, EOFError, zlib.error):
        return False  # perhaps another process is writing them
    return True


def verify(folder: Path, files: Mapping[str, str]) -> None:
    """Raise LthError if a file exists and its MD5 is not the published one. `files`: {path below folder: MD5}."""

    for file, checksum in files.items():
        path = folder / file
        if path.exists():
            reading.require_file(path, 'Delete it, and the same command downloads it again.')
        if path.exists() and (md5 := utils.calculate_md5(path)) != checksum:
            raise LthError(f'{path} is corrupt: its MD5 is {md5}, that of the published file is {checksum}. Delete it, '
                           'and the same command downloads it again; or replace it with an intact copy.')


def verify_unpacked(folder: Path, files: Mapping[str, str]) -> None:
    """Raise LthError if an unpacked file differs from the content of its .gz archive in the same folder."""

    for file in files:
        archive, unpacked = folder / file, folder / file.removesuffix('.gz')
        if archive != unpacked and archive.exists() and gzip.decompress(archive.read_bytes()) != unpacked.read_bytes():
            raise LthError(f'{unpacked} is corrupt: it differs from the content of {archive.name}. Delete it, and the '
                           'same command unpacks it again.')


def download_torchvision(dataset: Any, folder: Path, files: Mapping[str, str], **options: Any) -> None:
    """Download what is missing of a torchvision data set; LthError that lists the files if this fails."""

    created = [parent for parent in (folder / next(iter(files))).parents if not parent.exists()]
    try:
        with contextlib.redirect_stdout(io.StringIO()), _safe_tar_files():
            folder.mkdir(parents=True, exist_ok=True)
            dataset(folder, download=True, **options)
    except _ERRORS as error:
        for parent in created:
            with contextlib.suppress(OSError):
                parent.rmdir()
        names = ', '.join(Path(file).name for file in files)
        raise LthError(f'{dataset.__name__} is not in {folder.resolve()} and could not be downloaded to it '
                       f'({_one_line(error)}). Choose a folder that can be written, connect to the network, or put '
                       f'these files into {(folder / next(iter(files))).parent}: {names}.') from None


def open_or_download(dataset: Any, folder: Path, arguments: Mapping[str, Any]) -> Any:
    """A part of a torchvision data set, whose missing files torchvision downloads and verifies as it does. LthError if
    this fails, or if a package that it needs is missing.
    """

    try:
        with contextlib.suppress(RuntimeError, OSError):  # torchvision raises them for missing files
            return dataset(folder, **arguments)
        with contextlib.redirect_stdout(io.StringIO()), _safe_tar_files():
            folder.mkdir(parents=True, exist_ok=True)
            return dataset(folder, download=True, **arguments)
    except (*_ERRORS, ImportError, ValueError) as error:
        raise LthError(f'{dataset.__name__} is not in {folder.resolve()} and could not be downloaded to it '
                       f'({_one_line(error)}). Connect to the network, choose a folder that can be written, or put the '
                       f'files there that torchvision.datasets.{dataset.__name__} reads.') from None


def download_and_unpack(folder: Path, name: str, url: str, checksum: str) -> Path:
    """The folder `name`. If it is missing, it is unpacked from NAME.zip, which is downloaded if it is missing too."""

    if not (folder / name).is_dir():
        with locked(folder, name):
            if not (folder / name).is_dir():
                _download_and_unpack(folder, name, url, checksum)
    return folder / name


def _download_and_unpack(folder: Path, name: str, url: str, checksum: str) -> None:
    archive = folder / f'{name}.zip'
    verify(folder, {archive.name: checksum})
    unpacked, new = None, not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):
            if not archive.exists():
                utils.download_url(url, str(folder), archive.name, checksum)
            unpacked = tempfile.mkdtemp(prefix=f'{name}.', suffix='.partial', dir=folder)
            _unpack_zip(archive, Path(unpacked))
        os.rename(Path(unpacked) / name, folder / name)
    except _ERRORS as error:
        raise LthError(f'{name} is not in {folder.resolve()} and could not be downloaded or unpacked there '
                       f'({_one_line(error)}). Connect to the network, or put {archive.name} ({url}) there.') from None
    finally:
        if unpacked:
            shutil.rmtree(unpacked, ignore_errors=True)
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # succeeds only if it is empty


def _unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack a zip file; RuntimeError if a name in it leads out of the folder."""

    with ZipFile(archive) as file:
        for name in file.namelist():
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise RuntimeError(f'the archive holds the name {quote(name)}, which is outside of its folder')
        file.extractall(folder)


@contextlib.contextmanager
def _safe_tar_files() -> Iterator[None]:
    """Let tar files that torchvision unpacks in this block write only below their folder, and only plain files."""

    before = getattr(tarfile.TarFile, 'extraction_filter', None)
    if data_filter := getattr(tarfile, 'data_filter', None):  # from Python 3.11.4 on
        setattr(tarfile.TarFile, 'extraction_filter', staticmethod(data_filter))
    try:
        yield
    finally:
        setattr(tarfile.TarFile, 'extraction_filter', before)


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
