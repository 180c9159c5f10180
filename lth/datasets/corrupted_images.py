"""CIFAR-10-C and CIFAR-100-C: the test images with corruptions of five severities (Hendrycks & Dietterich 2019).

A folder has labels.npy and one file for each corruption, CORRUPTION.npy: uint8 (5 n, 32, 32, 3), severity by severity.
The files are published at https://zenodo.org/records/2535967 and https://zenodo.org/records/3555552.
"""
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from lth.datasets.source import Split
from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt
from lth.registry.registry import Registry
from lth.system import reading

SEVERITIES = 5
# The corruptions over which Hendrycks & Dietterich average (section 4.1), in their order.
STANDARD = (
    'gaussian_noise', 'shot_noise', 'impulse_noise', 'defocus_blur', 'glass_blur', 'motion_blur', 'zoom_blur', 'snow',
    'frost', 'fog', 'brightness', 'contrast', 'elastic_transform', 'pixelate', 'jpeg_compression')
# Published for validation: shown, but not in the mean.
EXTRA = ('speckle_noise', 'gaussian_blur', 'spatter', 'saturate')
_SIDE = 32
_ERRORS = (OSError, ValueError, EOFError)


class CorruptedSet(NamedTuple):
    """A set of corrupted images: the folder below that of all data sets, the number of classes, the images of each
    severity, and where it is published.
    """

    folder: str
    classes: int
    images: int
    url: str

    def corruptions(self, datasets: Path) -> Iterator[tuple[str, list[Split]]]:
        """Yield each corruption with its images, severity by severity. One file is read at a time. LthError, before
        the first, if a file is missing, cut off or of another form.
        """

        folder = datasets / self.folder
        self._require_files(folder)
        labels = self._labels(folder)
        names = [name for name in (*STANDARD, *EXTRA) if (folder / f'{name}.npy').exists()]
        for name in names:
            self._open(folder, name)
        for name in names:
            images = torch.from_numpy(np.array(self._open(folder, name))).permute(0, 3, 1, 2).contiguous()
            yield name, list(map(Split, images.split(self.images), labels.split(self.images)))

    def _require_files(self, folder: Path) -> None:
        missing = [name for name in ('labels', *STANDARD) if not (folder / f'{name}.npy').exists()]
        if missing:
            more = f' and {len(missing) - 1} more files' * (len(missing) > 1)
            raise LthError(f'{folder} has no {missing[0]}.npy{more}. Download {self.folder} from {self.url}, and '
                           f'unpack it so that {folder} has labels.npy and CORRUPTION.npy. lth does not download it.',
                           exit_code=ENVIRONMENT_ERROR)

    def _labels(self, folder: Path) -> torch.Tensor:
        path = folder / 'labels.npy'
        array = _load(path)
        count = SEVERITIES * self.images
        if array.shape != (count,) or array.dtype.kind not in 'iu':
            raise LthError(f'{path} holds {array.dtype} of shape {array.shape}, and not {count:,} whole numbers. '
                           'Download it again.')
        if array.min() < 0 or array.max() >= self.classes:
            raise LthError(f'{path}: labels lie between {array.min()} and {array.max()}, and {self.folder} has '
                           f'{self.classes} classes. Download it again.')
        return torch.from_numpy(array.astype(np.int64))

    def _open(self, folder: Path, name: str) -> np.ndarray[Any, Any]:
        """The images of a corruption, not read yet; LthError if the file has another form or is cut off."""

        path, expected = folder / f'{name}.npy', (SEVERITIES * self.images, _SIDE, _SIDE, 3)
        array = _load(path)
        if array.shape != expected or array.dtype != np.uint8:
            raise LthError(f'{path} holds {array.dtype} of shape {array.shape}, and not uint8 of shape {expected}. '
                           'Download it again.')
        return array


CORRUPTED: Registry[CorruptedSet] = Registry('set of corrupted images')
CORRUPTED.register('cifar10-c')(CorruptedSet('CIFAR-10-C', 10, 10_000, 'https://zenodo.org/records/2535967'))
CORRUPTED.register('cifar100-c')(CorruptedSet('CIFAR-100-C', 100, 10_000, 'https://zenodo.org/records/3555552'))


def _load(path: Path) -> np.ndarray[Any, Any]:
    """The array in a file, as a memory map; arrays of Python objects are never read."""

    reading.require_file(path)
    try:
        array: np.ndarray[Any, Any] = np.load(path, mmap_mode='r', allow_pickle=False)
    except _ERRORS as error:
        raise LthError(f'{path} cannot be read, or is cut off: {excerpt(error)}. Download it again.') from None
    return array
