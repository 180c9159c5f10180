"""Files fetched once and verified: an archive is unpacked only if its checksum is the published one."""
import contextlib
import gzip
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from lth.errors import LthError

# What torchvision raises when it downloads or unpacks.
_FAILURES = (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, BadZipFile, zlib.error)


def verify(folder: Path, files: Mapping[str, str]) -> None:
    """Refuses a file that is there but is not the published one: {path below the folder: MD5}."""

    # Here, for torchvision takes 2 s that `list` and `--dry-run` do without.
    from torchvision.datasets.utils import calculate_md5  # pylint: disable=import-outside-toplevel
    for file, checksum in files.items():
        path = folder / file
        if path.exists() and (found := calculate_md5(path)) != checksum:
            raise LthError(f'{path} is damaged: its MD5 is {found}, the published file has {checksum}. Delete it, and '
                           'the same command fetches it anew; or put a good copy there.')


def verify_unpacked(folder: Path, files: Mapping[str, str]) -> None:
    """Refuses a file that differs from what its archive beside it holds."""

    for file in files:
        archive, unpacked = folder / file, folder / file.removesuffix('.gz')
        if archive != unpacked and archive.exists() and gzip.decompress(archive.read_bytes()) != unpacked.read_bytes():
            raise LthError(f'{unpacked} is damaged: it is not what {archive.name} holds. Delete it, and the same '
                           'command unpacks it anew.')


def download_torchvision(dataset: Any, folder: Path, files: Mapping[str, str], **options: Any) -> None:
    """Has a data set of torchvision fetch what is missing, or says which files go where."""

    made = [parent for parent in ((folder / next(iter(files))).parents) if not parent.exists()]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            folder.mkdir(parents=True, exist_ok=True)
            dataset(folder, download=True, **options)
    except _FAILURES as error:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        wanted = ', '.join(Path(file).name for file in files)
        place = (folder / next(iter(files))).parent
        raise LthError(f'{dataset.__name__} is not in {folder.resolve()} and could not be downloaded there '
                       f'({_one_line(error)}). Choose a folder that can be written, connect to the network, or put '
                       f'these files into {place}: {wanted}.') from None


def download_and_unpack(folder: Path, name: str, url: str, checksum: str) -> Path:
    """The folder `name` unpacked from the zip of that name, which is downloaded if it is not there."""

    from torchvision.datasets.utils import download_url, extract_archive  # pylint: disable=import-outside-toplevel
    if (folder / name).is_dir():
        return folder / name
    archive = folder / f'{name}.zip'
    verify(folder, {archive.name: checksum})
    unpacked, new = None, not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):
            if not archive.exists():
                download_url(url, str(folder), archive.name, checksum)
            unpacked = tempfile.mkdtemp(prefix=f'{name}.', suffix='.partial', dir=folder)
            extract_archive(str(archive), unpacked)
        os.rename(Path(unpacked) / name, folder / name)
    except _FAILURES as error:
        raise LthError(f'{name} is not in {folder.resolve()} and could not be fetched or unpacked there '
                       f'({_one_line(error)}). Connect to the network, or put {archive.name} ({url}) there.') from None
    finally:
        if unpacked:
            shutil.rmtree(unpacked, ignore_errors=True)
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only if nothing came of it
    return folder / name


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
