"""Corrupted images in the form of CIFAR-10-C, and files of another form."""
import numpy as np
import pytest

from lth.datasets.corrupted_images import CORRUPTED, EXTRA, STANDARD, CorruptedSet
from lth.errors import LthError

TINY = CorruptedSet('CIFAR-10-C', 10, 2, 'https://example.org')


def save(folder, names=STANDARD):
    """Images whose every pixel is 10 · corruption + severity; two for each severity."""

    folder.mkdir(exist_ok=True)
    np.save(folder / 'labels.npy', np.array([3, 7] * 5))
    for number, name in enumerate(names):
        levels = (10 * number + np.arange(1, 6)).repeat(2).astype(np.uint8)
        np.save(folder / f'{name}.npy', np.broadcast_to(levels.reshape(10, 1, 1, 1), (10, 32, 32, 3)))


@pytest.fixture(name='folder')
def _folder(tmp_path):
    save(tmp_path / 'CIFAR-10-C')
    return tmp_path / 'CIFAR-10-C'


def test_corruptions_are_divided_into_five_severities_in_order(folder):
    found = dict(TINY.corruptions(folder.parent))
    assert list(found) == list(STANDARD) and len(STANDARD) == 15
    for number, splits in enumerate(found.values()):
        assert [split.images.unique().tolist() for split in splits] == [[10 * number + 1 + row] for row in range(5)]
        assert all(split.labels.tolist() == [3, 7] and split.images.shape == (2, 3, 32, 32) for split in splits)


def test_extra_corruptions_come_last_if_they_are_there(folder):
    save(folder, (*STANDARD, *EXTRA[:2]))
    assert list(dict(TINY.corruptions(folder.parent))) == [*STANDARD, *EXTRA[:2]]


@pytest.mark.parametrize(('name', 'array', 'message'), [
    ('fog', np.zeros((10, 32, 32), np.uint8), 'shape'),
    ('fog', np.zeros((8, 32, 32, 3), np.uint8), 'shape'),
    ('fog', np.zeros((10, 32, 32, 3), np.float32), 'float32'),
    ('labels', np.zeros(9, np.int64), 'shape'), ('labels', np.zeros(10), 'float64'),
    ('labels', np.full(10, 10), '10 classes')])
def test_files_of_another_form_are_refused_before_anything_is_read(folder, name, array, message):
    np.save(folder / f'{name}.npy', array)
    with pytest.raises(LthError, match=message) as caught:
        next(TINY.corruptions(folder.parent))
    assert f'{name}.npy' in str(caught.value)


def test_a_file_that_is_cut_off_and_a_missing_one_are_refused(folder):
    path = folder / 'jpeg_compression.npy'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LthError, match='cut off'):
        next(TINY.corruptions(folder.parent))
    path.unlink()
    with pytest.raises(LthError, match='has no jpeg_compression.npy') as caught:
        next(TINY.corruptions(folder.parent))
    assert caught.value.exit_code == 3


def test_pickled_arrays_are_refused_and_not_executed(folder, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path / 'executed').touch, ()
    np.save(folder / 'snow.npy', np.array([Harmful()], dtype=object), allow_pickle=True)
    with pytest.raises(LthError, match='snow.npy cannot be read'):
        next(TINY.corruptions(folder.parent))
    assert not (tmp_path / 'executed').exists()


def test_both_published_sets_have_ten_thousand_images_of_each_severity():
    assert [(CORRUPTED.find(name).images, CORRUPTED.find(name).classes) for name in ('cifar10-c', 'CIFAR-100-C')] == [
        (10_000, 10), (10_000, 100)]
