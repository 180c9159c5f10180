"""Data sets that the package `datasets` reads: local copies in the forms of the Hub, and what is refused."""
import importlib
import io

import numpy as np
import pytest
import torch
from PIL import Image

from lth.datasets import DATASETS, hub_sets
from lth.errors import LthError
from lth.recipes.schema import DataSettings

hub = pytest.importorskip('datasets')
COLORS = hub.Features({'img': hub.Image(), 'label': hub.ClassLabel(names=['a', 'b', 'c'])})


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    hub_sets.source.cache_clear()
    monkeypatch.setattr(hub.config, 'HF_DATASETS_CACHE', tmp_path / 'cache')
    monkeypatch.setattr(hub.config, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(importlib.import_module('huggingface_hub.constants'), 'HF_HUB_OFFLINE', True)


def pixels(count, size=8):
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def table(count, features=COLORS, **columns):
    content = {'img': [Image.fromarray(image) for image in pixels(count)], 'label': [row % 3 for row in range(count)]}
    return hub.Dataset.from_dict(content | columns, features=features)


def save_parquet(folder, **splits):
    """A folder as repositories of the Hub have it."""

    (folder / 'data').mkdir(parents=True)
    for name, rows in splits.items():
        rows.to_parquet(folder / f'data/{name}-00000-of-00001.parquet')
    return f'hf:{folder}'


def refusal(name):
    with pytest.raises(LthError) as caught:
        DATASETS.find(name)
    return str(caught.value)


def read(name, folder, **settings):
    source = DATASETS.find(name)
    return source.read(folder, DataSettings(name=name, **settings))


def test_a_repository_of_parquet_files_is_a_data_set_with_the_pixels_of_its_images(tmp_path):
    name = save_parquet(tmp_path / 'repo', train=table(12), test=table(6))
    source = DATASETS.find(name)
    assert (source.shape, source.classes, source.image_counts) == ((3, 8, 8), 3, (12, 6))
    data = source.read(tmp_path, DataSettings(name=name))
    assert torch.equal(data.train.images, torch.from_numpy(pixels(12)).permute(0, 3, 1, 2))
    assert data.test.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.mean == pytest.approx((pixels(12) / 255).mean((0, 1, 2)), abs=1e-6)


def test_a_saved_data_set_and_a_folder_of_images_are_data_sets(tmp_path):
    hub.DatasetDict(train=table(12), test=table(6)).save_to_disk(tmp_path / 'saved')
    assert DATASETS.find(f'hf:{tmp_path / "saved"}').image_counts == (12, 6)
    for part, count in (('train', 6), ('test', 4)):
        for row in range(count):
            (tmp_path / f'images/{part}/{"ab"[row % 2]}').mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(6)[row]).save(tmp_path / f'images/{part}/{"ab"[row % 2]}/{row}.png')
    data = read(f'hf:{tmp_path / "images"}', tmp_path)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and data.test.images.shape == (4, 3, 8, 8)


def test_the_split_validation_is_the_test_set_if_there_is_none_and_a_note_says_so(tmp_path):
    name = save_parquet(tmp_path / 'repo', train=table(12), validation=table(6))
    assert 'The test images are the split validation' in read(name, tmp_path).note
    name = save_parquet(tmp_path / 'all', train=table(12), validation=table(6), test=table(3))
    assert 'not used: validation' in read(name, tmp_path).note


def test_a_set_without_test_images_is_refused_and_divided_by_options(tmp_path):
    name = save_parquet(tmp_path / 'repo', train=table(10))
    assert "splits are ['train']" in refusal(name)
    data = read(f'{name},train=train[:80%],test=train[80%:]', tmp_path)
    both = torch.cat([data.train.images, data.test.images])
    assert len(data.train.labels) == 8 and torch.equal(both, torch.from_numpy(pixels(10)).permute(0, 3, 1, 2))
    assert 'is not a slice' in refusal(f'{name},train=train[x],test=train[80%:]')
    assert 'has no images' in refusal(f'{name},train=train[:0],test=train[8:]')
    assert "no split 'tst'" in refusal(f'{name},test=tst')


def test_several_columns_of_labels_need_a_choice(tmp_path):
    features = hub.Features(COLORS | {'coarse': hub.ClassLabel(names=['x', 'y'])})
    rows = table(12, features, coarse=[row % 2 for row in range(12)])
    name = save_parquet(tmp_path / 'repo', train=rows, test=rows)
    message = refusal(name)
    assert '2 columns of labels' in message and 'label=COLUMN' in message
    assert DATASETS.find(f'{name},label=coarse').classes == 2
    assert "'fine' is not a column" in refusal(f'{name},label=fine')


@pytest.mark.parametrize(('feature', 'values', 'message'), [
    (hub.Value('string'), ['cat'] * 12, 'label (string)'),
    (hub.Value('float32'), [0.5] * 12, 'label (float32)'),
    (hub.Value('int64'), [-1] * 12, 'without labels')])
def test_labels_that_are_no_classes_are_refused(tmp_path, feature, values, message):
    rows = table(12, hub.Features(COLORS | {'label': feature}), label=values)
    assert message in refusal(save_parquet(tmp_path / 'repo', train=rows, test=rows))


def test_labels_that_are_lists_and_tables_without_images_are_refused(tmp_path):
    rows = hub.Dataset.from_dict({'img': [1, 2], 'label': [[0, 1], [1]]})
    assert 'no column of images' in refusal(save_parquet(tmp_path / 'a', train=rows, test=rows))
    rows = table(2).remove_columns('label').add_column('label', [[0, 1], [1]])
    assert 'no column of labels' in refusal(save_parquet(tmp_path / 'b', train=rows, test=rows))


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    good = io.BytesIO()
    Image.fromarray(pixels(1)[0]).save(good, 'PNG')
    stored = [{'bytes': good.getvalue(), 'path': None}] * 5 + [{'bytes': b'no image', 'path': None}]
    rows = table(6, img=stored)
    name = save_parquet(tmp_path / 'repo', train=rows, test=rows)
    with pytest.raises(LthError, match='image 5 of the train split'):
        read(name, tmp_path)


def test_images_of_other_sizes_are_scaled_to_the_first_or_to_the_chosen_size(tmp_path):
    images = [Image.fromarray(pixels(1, size)[0]) for size in (8, 12, 16)]
    rows = table(3, img=images)
    name = save_parquet(tmp_path / 'repo', train=rows, test=rows)
    assert read(name, tmp_path).shape == (3, 8, 8)
    assert read(name, tmp_path, size=4, channels=1).shape == (1, 4, 4)


@pytest.mark.parametrize(('name', 'message'), [
    ('hf:', 'OWNER/NAME'), ('hf:mnist', 'OWNER/NAME'), ('hf:a/b/c', 'OWNER/NAME'), ('hf:a/b,tst=x', 'config, revision'),
    ('hf:a/b,test', 'not an option'), ('hf:a/b,test=x,test=y', 'once each'), ('hf:./nope', 'no folder')])
def test_names_of_another_form_are_refused(name, message):
    assert message in refusal(name)


def test_a_name_that_is_also_a_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a/b').mkdir(parents=True)
    assert 'hf:./a/b' in refusal('hf:a/b')


def test_a_data_set_that_is_not_cached_is_an_error_of_the_environment_when_offline():
    with pytest.raises(LthError, match='Hub cannot be reached') as caught:
        DATASETS.find('hf:lth-nobody/nothing')
    assert caught.value.exit_code == 3 and 'HF_HUB_OFFLINE' in str(caught.value)


def test_code_in_a_folder_is_not_executed(tmp_path):
    (tmp_path / 'repo').mkdir()
    (tmp_path / 'repo/repo.py').write_text(f'import pathlib; pathlib.Path({str(tmp_path / "executed")!r}).touch()')
    assert 'scripts are no longer supported' in refusal(f'hf:{tmp_path / "repo"}')
    assert not (tmp_path / 'executed').exists()


def test_a_missing_package_is_an_error_that_names_the_extra(monkeypatch):
    class Missing:
        def __getattr__(self, name):
            raise ImportError(name)
    monkeypatch.setattr(hub_sets, 'hub', Missing())
    assert "pip install 'lth[hf-data]'" in refusal('hf:a/b')


def test_a_run_on_a_data_set_of_the_hub_is_found_evaluated_and_not_mixed_with_other_images(lth, tmp_path):
    name = save_parquet(tmp_path / 'repo', train=table(30), test=table(12))
    search = ('find-ticket', 'lenet-300-100', name, '-i', '1', '-b', '5', '-e', '1', '--run', 'a')
    assert lth(*search).code == 0
    assert lth('evaluate', 'a').code == 0
    other = [Image.fromarray(255 - image) for image in pixels(30)]
    table(30, img=other).to_parquet(tmp_path / 'repo/data/train-00000-of-00001.parquet')
    hub_sets.source.cache_clear()
    assert 'other images' in lth('evaluate', 'a').err
