"""npz files in MedMNIST's form, and what is refused of them."""
import numpy as np
import pytest
import torch

from lth.datasets import DATASETS, npz_files
from lth.errors import LthError
from lth.recipes.schema import DataSettings


@pytest.fixture(autouse=True)
def _read_files_again():
    npz_files.source.cache_clear()


def arrays(*, color=False, counts=(12, 4, 6), classes=3):
    random = np.random.default_rng(0)
    found = {}
    for part, count in zip(('train', 'val', 'test'), counts):
        found[f'{part}_images'] = random.integers(0, 256, (count, 8, 8) + (3,) * color, dtype=np.uint8)
        found[f'{part}_labels'] = (np.arange(count) % classes).reshape(-1, 1).astype(np.uint8)
    return found


def refusal(path):
    with pytest.raises(LthError) as caught:
        DATASETS.find(f'npz:{path}')
    return str(caught.value)


@pytest.mark.parametrize(('color', 'channels'), [(False, 1), (True, 3)])
def test_an_npz_file_of_gray_or_color_images_is_a_data_set(tmp_path, color, channels):
    content = arrays(color=color)
    np.savez_compressed(tmp_path / 'a.npz', **content)
    source = DATASETS.find(f'npz:{tmp_path / "a.npz"}')
    assert (source.shape, source.classes, source.image_counts) == ((channels, 8, 8), 3, (12, 6))
    data = source.read(tmp_path, DataSettings(name='npz:a.npz'))
    first = torch.from_numpy(content['train_images'][0])
    assert torch.equal(data.train.images[0], first.permute(2, 0, 1) if color else first[None])
    assert data.test.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert 'val_images are not used' in data.note


def test_validation_images_are_the_test_set_if_there_is_none(tmp_path):
    content = {name: array for name, array in arrays().items() if not name.startswith('test')}
    np.savez(tmp_path / 'a.npz', **content)
    source = DATASETS.find(f'npz:{tmp_path / "a.npz"}')
    assert source.image_counts == (12, 4)
    assert 'The test images are val_images' in source.read(tmp_path, DataSettings(name='npz:a.npz')).note


@pytest.mark.parametrize(('name', 'change', 'message'), [
    ('train_labels', lambda labels: np.eye(12, 5, dtype=np.int64), 'several labels'),
    ('train_labels', lambda labels: labels[:5], '12 images'),
    ('test_labels', lambda labels: labels.astype(np.float32), 'float32'),
    ('test_labels', lambda labels: labels.astype(np.int64) - 1, 'lie between -1'),
    ('test_labels', lambda labels: labels + 9, 'has no image in train_images'),
    ('train_labels', lambda labels: labels * 2, 'without gaps'),
    ('train_images', lambda images: images.astype(np.float32) / 255, 'float32'),
    ('train_images', lambda images: images[..., None].repeat(2, -1), 'shape (12, 8, 8, 2)'),
    ('test_images', lambda images: images[:, :7], 'the same shape')])
def test_arrays_of_another_form_are_refused_with_the_reason(tmp_path, name, change, message):
    content = arrays()
    np.savez(tmp_path / 'a.npz', **content | {name: change(content[name])})
    assert message in refusal(tmp_path / 'a.npz')


def test_arrays_of_python_objects_are_refused_and_never_unpickled(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path / 'executed').touch, ()
    harmful = np.empty((12, 1), dtype=object)
    harmful[:] = Harmful()
    np.savez(tmp_path / 'a.npz', **arrays() | {'train_labels': harmful})
    assert 'object' in refusal(tmp_path / 'a.npz')
    assert not (tmp_path / 'executed').exists()


def test_missing_arrays_and_files_that_are_cut_off_are_refused(tmp_path):
    content = arrays()
    del content['train_labels']
    np.savez(tmp_path / 'a.npz', **content)
    assert 'has no train_labels' in refusal(tmp_path / 'a.npz')
    np.savez(tmp_path / 'b.npz', **arrays())
    whole = (tmp_path / 'b.npz').read_bytes()
    (tmp_path / 'b.npz').write_bytes(whole[:len(whole) // 2])
    assert 'cut off' in refusal(tmp_path / 'b.npz')
    assert 'No such file' in refusal(tmp_path / 'c.npz')
    assert 'npz:FILE' in refusal('')


def test_a_run_on_an_npz_file_is_not_resumed_with_other_images(lth, tmp_path):
    np.savez(tmp_path / 'a.npz', **arrays(counts=(60, 10, 20)))
    search = ('find-ticket', 'lenet-300-100', 'npz:a.npz', '-i', '1', '-b', '10', '-e', '1', '--run', 'a')
    assert lth(*search).code == 0
    assert lth('evaluate', 'a').code == 0
    content = arrays(counts=(60, 10, 20))
    content['train_images'][0] = 255 - content['train_images'][0]
    np.savez(tmp_path / 'a.npz', **content)
    npz_files.source.cache_clear()
    assert 'other images' in lth('evaluate', 'a').err
    assert 'other images' in lth(*search, '--seeds', '1').err
