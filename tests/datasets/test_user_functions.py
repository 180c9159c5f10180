"""Data sets that are functions of the user, and resized data sets."""
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lth.datasets import DATASETS
from lth.datasets.resizing import channel_statistics, resize_dataset
from lth.errors import LthError
from lth.recipes.schema import DataSettings
from tests.conftest import Result, random_dataset

MINE = '''
import numpy as np
import torch
from lth.datasets import Dataset, Source, Split

IMAGES = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)
LABELS = np.arange(40) % 4

def arrays():
    return (IMAGES, LABELS), (IMAGES[:8], LABELS[:8])

def source():
    split = Split(torch.from_numpy(IMAGES)[:, None], torch.from_numpy(LABELS))
    return Source('mine', (1, 8, 8), 4, (40, 40), lambda folder, settings: Dataset(split, split, (0.5,), (0.5,)),
                  {'validation': 8})

def floats():
    return (IMAGES / 255, LABELS), (IMAGES / 255, LABELS)

def short():
    return (IMAGES, LABELS[:3]), (IMAGES, LABELS)

def gaps():
    return (IMAGES, LABELS % 2 * 100), (IMAGES, LABELS)

def negative():
    return (IMAGES, np.arange(40) - 1), (IMAGES, LABELS)

def raising():
    return {}['x']

def leaving():
    raise SystemExit(0)

def nothing():
    return None

def more_classes_in_test():
    return (IMAGES, LABELS), (IMAGES, LABELS + 1)
'''

NET = '''
from torch import nn

def net(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / 'mine.py').write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return str(tmp_path / 'mine.py')


def test_a_function_that_returns_arrays_is_a_data_set(mine):
    source = DATASETS.find(f'{mine}:arrays')
    assert (source.shape, source.classes, source.image_counts) == ((1, 8, 8), 4, (40, 8))
    assert source.settings == {'validation': 4}
    data = source.read(Path(), DataSettings(name='mine'))
    assert data.train.images.shape == (40, 1, 8, 8) and data.train.labels.dtype == torch.int64
    assert data.mean[0] == pytest.approx(data.train.images.double().mean().item() / 255, abs=1e-6)


@pytest.mark.parametrize('function', ['arrays', 'source', 'floats'])
def test_find_ticket_and_evaluate_run_on_a_users_data_set(mine, lth: Callable[..., Result], function):
    Path('mine.py').write_text(MINE)
    result = lth('find-ticket', 'lenet-300-100', f'mine.py:{function}', '-i', '1', '-e', '1', '-b', '8')
    assert result.code == 0, result.err
    assert Path('runs', f'lenet-300-100-mine.py-{function}', 'seed-0', 'round-01').is_dir()
    assert lth('evaluate', f'lenet-300-100-mine.py-{function}', '--trust-code').code == 0


@pytest.mark.parametrize(('function', 'says'), [
    ('short', r'the labels have the shape \(3,\) for 40 images'),
    ('gaps', 'classes 0 … 100 have no training image, such as class 1'),
    ('negative', 'the labels lie between -1 and 38. Number the classes from 0'),
    ('raising', r"mine.py:raising, called without arguments, raised KeyError: 'x' .*mine.py, line "),
    ('leaving', 'raised SystemExit: 0'),
    ('nothing', r'the data are of type NoneType. Give four arrays .* two pairs'),
    ('more_classes_in_test', 'training and test images differ: .* labels up to 3 and 4')])
def test_a_function_that_fails_or_returns_something_else_is_an_error(mine, function, says):
    with pytest.raises(LthError, match=says):
        DATASETS.find(f'{mine}:{function}')


def test_channel_statistics_equal_those_of_all_pixels_with_std_1_for_a_constant_channel():
    images = torch.randint(0, 256, (50, 3, 9, 7), dtype=torch.uint8)
    images[:, 2] = 51
    mean, std = channel_statistics(images)
    pixels = images.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert std[:2] == pytest.approx(pixels.std((0, 2, 3), correction=0)[:2].tolist(), abs=1e-5) and std[2] == 1


def test_data_sets_are_resized_and_converted_between_color_and_gray():
    data = random_dataset((1, 8, 8))
    larger = resize_dataset(data, (3, 16, 16))
    assert larger.shape == (3, 16, 16) and larger.train.images.dtype == torch.uint8
    assert torch.equal(larger.train.images[:, 0], larger.train.images[:, 2])
    assert abs(larger.train.images.double().mean() - data.train.images.double().mean()) < 1
    back = resize_dataset(larger, (1, 16, 16))
    assert torch.equal(back.train.images[:, 0], larger.train.images[:, 1])
    assert resize_dataset(data, (1, 8, 8)) is data


def test_gray_digits_train_a_network_for_color_images(lth):
    result = lth('find-ticket', 'torchvision:mobilenet_v3_small', 'digits', '-i', '1', '--set', 'data.channels=3',
                 '--set', 'data.size=32', '--set', 'training.length=2 iterations', '-b', '8')
    assert result.code == 0, result.err
    assert Path('runs/torchvision-mobilenet_v3_small-digits/seed-0/round-01/mask.safetensors').exists()


def test_a_resolution_larger_than_the_images_is_an_error(lth):
    result = lth('find-ticket', 'lenet-5', 'digits', '--set', 'data.resolution=28', '--set', 'data.crop=4', '--dry-run')
    says = 'data.resolution: images of 8×8 pixels cannot be cropped to a side of 28'
    assert result.code == 2 and says in ' '.join(result.err.split())


def test_a_run_is_not_resumed_with_other_images_or_another_network(mine, lth):
    Path('mine.py').write_text(MINE)
    Path('net.py').write_text(NET)
    command = ('find-ticket', 'net.py:net', 'mine.py:arrays', '-i', '1', '-e', '1', '-b', '8', '--run', 'r')
    assert lth(*command).code == 0
    Path('net.py').write_text(NET + '# another\n')
    result = lth(*command, '--seeds', '0-1')
    assert result.code == 2 and 'was started with another network' in ' '.join(result.err.split())
    Path('net.py').write_text(NET)
    Path('mine.py').write_text(MINE.replace('% 4', '% 4 ^ 1'))
    result = lth(*command, '--seeds', '0-1')
    assert result.code == 2 and 'other code of the data set mine.py:arrays (in mine.py: ' in result.err
    assert Path('runs/r/seed-0/round-01').exists() and not Path('runs/r/seed-1').exists()


def test_evaluate_of_a_users_data_set_from_another_folder_names_the_folder_of_the_run(mine, lth, monkeypatch):
    Path('mine.py').write_text(MINE)
    command = ('find-ticket', 'lenet-300-100', 'mine.py:arrays', '-i', '0', '-e', '1', '-b', '8', '--run', 'r')
    assert lth(*command).code == 0
    here = Path.cwd()
    (here / 'elsewhere').mkdir()
    monkeypatch.chdir(here / 'elsewhere')
    result = lth('evaluate', '../runs/r', '--trust-code')
    assert result.code == 2 and f'The run was started in {here}: repeat the command there.' in result.err
