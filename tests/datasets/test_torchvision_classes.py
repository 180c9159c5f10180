"""Classes of torchvision.datasets by name: those that lth reads, and why it refuses the others."""
import inspect

import pytest
import torch
import torchvision
from PIL import Image

from lth.datasets import DATASETS, torchvision_classes
from lth.errors import LthError
from lth.recipes.schema import DataSettings

NAME = 'torchvision-dataset:USPS'


class Fake:
    """As torchvision.datasets.FakeData, with a training and a test set."""

    present = True

    def __init__(self, root, train=True, download=False):
        if not self.present and not download:
            raise RuntimeError('Dataset not found')
        if not self.present:
            raise OSError('no network')
        self.train = train

    def __len__(self):
        return 20 if self.train else 10

    def item(self, row):
        return Image.new('L', (16, 16), 10 * row + self.train), row % 10

    def __getitem__(self, row):
        return self.item(row)


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(torchvision.datasets, 'USPS', Fake)


def read(folder, **settings):
    return DATASETS.find(NAME).read(folder, DataSettings(name=NAME, **settings))


def test_a_class_of_torchvision_is_a_data_set_with_its_images_and_labels(tmp_path):
    data = read(tmp_path)
    assert data.train.images.shape == (20, 1, 16, 16) and data.test.labels.tolist() == list(range(10))
    assert torch.equal(data.train.images[:, 0, 0, 0], 10 * torch.arange(20, dtype=torch.uint8) + 1)
    assert read(tmp_path, size=8, channels=3).train.images.shape == (20, 3, 8, 8)


def test_a_run_on_a_class_of_torchvision_is_found_and_evaluated(lth):
    settings = ('--set', 'data.validation=5', '-b', '5', '-e', '1', '-i', '1', '--run', 'a')
    result = lth('find-ticket', 'lenet-300-100', NAME, *settings)
    assert result.code == 0, result.err
    assert lth('evaluate', 'a').code == 0


@pytest.mark.parametrize(('item', 'message'), [
    (lambda self, row: (Image.new('L', (16, 16)), 'cat'), "label 'cat'"),
    (lambda self, row: (Image.new('L', (16, 16)), 10), 'label 10'),
    (lambda self, row: (torch.zeros(1, 16, 16), 0), 'Tensor'),
    (lambda self, row: {}['x'], 'KeyError')])
def test_items_that_are_no_image_with_a_class_are_refused(tmp_path, monkeypatch, item, message):
    monkeypatch.setattr(Fake, 'item', item)
    with pytest.raises(LthError, match=message):
        read(tmp_path)


def test_a_data_set_that_cannot_be_downloaded_is_an_error_that_says_where_its_files_belong(tmp_path, monkeypatch):
    monkeypatch.setattr(Fake, 'present', False)
    with pytest.raises(LthError, match='no network') as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(('name', 'message'), [
    ('VOCSegmentation', 'segmentation'), ('CocoCaptions', 'texts'), ('Kinetics', 'videos'),
    ('CelebA', 'several labels'),
    ('EuroSAT', 'not divided'), ('FakeData', 'not divided'), ('Omniglot', 'different classes'),
    ('MNIST', 'mnist in lth'), ('ImageFolder', 'folder:PATH'), ('EMNIST', 'EMNIST/balanced'),
    ('Food', "did you mean 'Food101'"), ('utils', 'no data set'), ('', 'no data set')])
def test_other_classes_are_refused_with_the_reason(name, message):
    with pytest.raises(LthError, match=message):
        DATASETS.find(f'torchvision-dataset:{name}')


def test_every_known_class_exists_in_torchvision_and_takes_the_arguments_of_both_parts():
    for name, facts in torchvision_classes._SETS.items():
        if name != 'USPS':
            dataset = getattr(torchvision.datasets, name.partition('/')[0])
            signatures = [inspect.signature(base).parameters.keys() for base in dataset.__mro__ if base is not object]
            assert facts.train.keys() == facts.test.keys() and facts.train.keys() <= set().union(*signatures)
