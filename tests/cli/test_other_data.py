"""`lth evaluate --on`: corrupted images and the test images of other data sets."""
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest

import lth as package
from lth.datasets import corrupted_images, npz_files
from lth.datasets.corrupted_images import CORRUPTED, EXTRA
from tests.printed_json import printed_json

pytestmark = pytest.mark.xdist_group('other data')
# Of the 15 corruptions that count.
STANDARD = ('fog', 'snow', 'frost')
SEARCH = ('find-ticket', 'lenet-300-100', 'npz:a.npz', '-i', '1', '-b', '20', '-e', '1', '--run', 'a')


def images(count, seed):
    """Color images of ten classes that differ in brightness, and their labels."""

    random, labels = np.random.default_rng(seed), np.arange(count) % 10
    noise = random.integers(0, 30, (count, 32, 32, 3))
    return (noise + 20 * labels.reshape(-1, 1, 1, 1)).astype(np.uint8), labels


@pytest.fixture(name='original', scope='module')
def _original(tmp_path_factory):
    return tmp_path_factory.mktemp('original') / 'files'


@pytest.fixture(name='data', autouse=True)
def _data(lth, original, tmp_path, monkeypatch):
    """A run of two seeds on a data set of the shape of CIFAR-10, and corrupted copies of its test images: in the
    severities after the third, they are black. The first test makes them, the others copy them.
    """

    npz_files.source.cache_clear()
    monkeypatch.setattr(corrupted_images, 'STANDARD', STANDARD)
    monkeypatch.setitem(CORRUPTED._entries, 'cifar10-c', CORRUPTED.find('cifar10-c')._replace(images=20))
    if original.exists():
        shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    else:
        make_files()
        assert lth(*SEARCH, '--seeds', '0,1').code == 0
        shutil.copytree(tmp_path, original)
    return tmp_path / 'datasets/CIFAR-10-C'


def make_files():
    train, test = images(120, 0), images(20, 1)
    np.savez('a.npz', train_images=train[0], train_labels=train[1], test_images=test[0], test_labels=test[1])
    folder = Path('datasets/CIFAR-10-C')
    folder.mkdir(parents=True)
    np.save(folder / 'labels.npy', np.tile(test[1], 5))
    corrupted = np.concatenate([test[0]] * 3 + [np.zeros_like(test[0])] * 2)
    for name in (*STANDARD, EXTRA[0]):
        np.save(folder / f'{name}.npy', corrupted if name != EXTRA[0] else np.zeros_like(corrupted))


def measured(lth, *arguments):
    return printed_json(lth, 'evaluate', *arguments)


def test_severities_without_a_corruption_have_the_accuracy_of_the_test_set_and_black_images_that_of_one_class(lth):
    report = measured(lth, 'a', '--on', 'cifar10-c')
    assert [shown['round'] for shown in report['rounds']] == [0, 1] and report['images'] == 20
    for shown in report['rounds']:
        own = shown['test_accuracy_percent']['mean']
        fog = next(one for one in shown['corruptions'] if one['corruption'] == 'fog')
        assert [one['mean'] for one in fog['severities_percent']] == [own] * 3 + [10] * 2
        assert shown['accuracy_percent']['mean'] == pytest.approx((3 * own + 20) / 5)
        assert shown['accuracy_percent']['n'] == 2 and shown['accuracy_percent']['margin'] is not None


def test_extra_corruptions_are_shown_but_are_not_in_the_mean(lth):
    (shown,) = measured(lth, 'a', '--on', 'cifar10-c', '--rounds', '1')['rounds']
    assert [one['corruption'] for one in shown['corruptions'] if not one['in_mean']] == [EXTRA[0]]
    assert len(shown['corruptions']) == len(STANDARD) + 1
    means = [one['accuracy_percent']['mean'] for one in shown['corruptions'] if one['in_mean']]
    assert shown['accuracy_percent']['mean'] == pytest.approx(statistics.fmean(means))
    table = lth('evaluate', 'a', '--on', 'cifar10-c', '--rounds', '1').out
    assert 'speckle_noise (not in the mean)' in table and 'severity 5' in table and '±' in table


def test_the_own_data_set_gives_the_own_accuracy(lth):
    report = measured(lth, 'a/seed-1', '--on', 'npz:a.npz')
    for shown in report['rounds']:
        assert shown['accuracy_percent'] == shown['test_accuracy_percent'] and shown['corruptions'] == []
        assert [one['seed'] for one in shown['seeds']] == [1]


def test_the_digest_is_that_of_the_images(lth, data):
    before = measured(lth, 'a/seed-0/round-01', '--on', 'cifar10-c')['digest']
    assert measured(lth, 'a/seed-1/round-00', '--on', 'cifar10-c')['digest'] == before
    snow = np.load(data / 'snow.npy')
    snow[0, 0, 0, 0] ^= 1
    np.save(data / 'snow.npy', snow)
    assert measured(lth, 'a/seed-0/round-01', '--on', 'cifar10-c')['digest'] != before


@pytest.mark.parametrize(('arguments', 'message'), [
    (('--on', 'digits'), 'Choose images of the same shape'), (('--on', 'cifar100-c'), '100 classes'),
    (('--on', 'nope'), 'Unknown data set'), (('--rounds', '0'), 'only with --on'),
    (('--on', 'cifar10-c', '--rounds', '7'), 'has no round 7'),
    (('--on', 'cifar10-c', '--margin', '1'), 'cannot be combined')])
def test_images_that_do_not_fit_the_network_and_options_that_do_not_fit_are_refused(lth, arguments, message):
    result = lth('evaluate', 'a', *arguments)
    assert result.code == 2 and message in result.err


def test_a_missing_corruption_is_an_error_that_names_the_file(lth, data):
    (data / 'frost.npy').unlink()
    result = lth('evaluate', 'a', '--on', 'cifar10-c')
    assert result.code == 3 and 'has no frost.npy' in result.err and 'zenodo' in result.err


def test_the_python_api_measures_the_same(lth):
    report = package.evaluate_on('a', 'cifar10-c', rounds=[1], datasets='datasets', threads=1)
    (shown,) = measured(lth, 'a', '--on', 'cifar10-c', '--rounds', '1')['rounds']
    assert 100 * report.mean(1).mean == pytest.approx(shown['accuracy_percent']['mean'])
    assert 100 * report.mean(1, 'fog', severity=5).mean == pytest.approx(10)
