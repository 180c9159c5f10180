"""Image and idx files with any content: an image, or an error that the user can fix, at once."""
import os
import struct
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from lth.datasets import DATASETS, downloads, image_decoding
from lth.errors import LthError
from lth.recipes.schema import DataSettings

_FORMATS = ('png', 'jpeg', 'bmp', 'gif', 'webp', 'ppm', 'tiff')
_MODES = ('L', 'RGB', 'P', '1')
_QUICK = settings(max_examples=200, suppress_health_check=list(HealthCheck))
_LONG = settings(max_examples=2000, suppress_health_check=list(HealthCheck))


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """A small image in some format, cut at some byte and with some bytes changed; or any bytes."""

    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    width, height = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    pixels = np.random.RandomState(draw(st.integers(0, 9))).randint(0, 256, (height, width, 3)).astype('uint8')
    image = Image.fromarray(pixels).convert(draw(st.sampled_from(_MODES)))
    file_format, buffer = draw(st.sampled_from(_FORMATS)), BytesIO()
    image.convert('RGB' if file_format in ('webp', 'jpeg', 'ppm') else image.mode).save(buffer, file_format)
    content = bytearray(buffer.getvalue())
    # The first bytes hold the size and the compression.
    for place in draw(st.lists(st.one_of(st.integers(0, 63), st.integers(0, len(content) - 1)), max_size=4)):
        content[place % len(content)] = draw(st.integers(0, 255))
    return bytes(content[:draw(st.one_of(st.none(), st.integers(0, len(content))))])


@st.composite
def idx_files(draw: st.DrawFn) -> bytes:
    """A file of the idx format with some header, also one that promises more than there is; or any bytes."""

    header = struct.pack('>HBB', draw(st.sampled_from((0, 1))), draw(st.sampled_from((8, 9, 14, 255))), 3)
    sizes = draw(st.lists(st.sampled_from((0, 1, 28, 60_000, 2 ** 31)), min_size=3, max_size=3))
    return draw(st.sampled_from((b'', header + struct.pack('>3I', *sizes)))) + draw(st.binary(max_size=100))


def decode(path: Path, content: bytes) -> None:
    """Decode a file with this content."""

    path.write_bytes(content)
    start = time.monotonic()
    image = image_decoding.decode(path, (3, 8, 8))
    assert time.monotonic() - start < 10
    assert image.shape == (3, 8, 8) if isinstance(image, Tensor) else len(image.reason) <= 100


def read_mnist(folder: Path, name: str, content: bytes) -> None:
    """Read MNIST where one of its files has this content."""

    path = folder / 'MNIST' / 'raw' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert downloads.utils.calculate_md5  # imports torchvision, which takes seconds
    start = time.monotonic()
    with pytest.raises(LthError, match=f'{name} is corrupt: its MD5 is'):
        DATASETS.find('mnist').read(folder, DataSettings(name='mnist'))
    assert time.monotonic() - start < 10
    path.unlink()


@pytest.mark.slow
@_QUICK
@given(images())
def test_any_content_of_an_image_file_is_decoded_or_undecodable(tmp_path_factory, content):
    decode(tmp_path_factory.getbasetemp() / 'image.png', content)


@pytest.mark.long
@_LONG
@given(images())
def test_any_content_of_an_image_file_is_decoded_or_undecodable_in_many_examples(tmp_path_factory, content):
    decode(tmp_path_factory.getbasetemp() / 'image.png', content)


NAMES = st.sampled_from(('train-images-idx3-ubyte', 't10k-labels-idx1-ubyte'))


@pytest.mark.slow
@_QUICK
@given(NAMES, idx_files())
def test_any_other_content_of_an_idx_file_is_an_error_before_it_is_parsed(tmp_path_factory, name, content):
    read_mnist(tmp_path_factory.getbasetemp(), name, content)


@pytest.mark.long
@_LONG
@given(NAMES, idx_files())
def test_any_other_content_of_an_idx_file_is_an_error_in_many_examples(tmp_path_factory, name, content):
    read_mnist(tmp_path_factory.getbasetemp(), name, content)


@pytest.mark.parametrize(('make', 'says'), [
    (os.mkfifo, 'a named pipe'), (os.mkdir, 'a folder'), (lambda path: path.symlink_to('/dev/zero'), 'a device')])
def test_an_idx_file_that_is_no_file_is_an_error(tmp_path, make, says):
    path = tmp_path / 'MNIST' / 'raw' / 'train-images-idx3-ubyte'
    path.parent.mkdir(parents=True)
    make(path)
    with pytest.raises(LthError, match=f'{path} is {says}, not a file'):
        DATASETS.find('mnist').read(tmp_path, DataSettings(name='mnist'))
