"""Mistakes that are easy to make on the command line: the error says which one it is, and what to write instead."""
import os
from pathlib import Path

import pytest

from lth.cli import app

PAIR = ('lenet-300-100', 'digits')


@pytest.fixture(name='run')
def small_run(lth):
    """A run with one round in ./runs/mine."""

    result = lth('find-ticket', *PAIR, '-i', '1', '-e', '1', '--run', 'mine')
    assert result.code == 0, result.err
    return 'mine'


@pytest.mark.parametrize(('arguments', 'message'), [
    (['find-ticket', 'digits', 'lenet-300-100'],
     "'digits' is a data set and 'lenet-300-100' is a model. Give the model first: lenet-300-100 digits."),
    (['find-gem', 'cifar10', 'resnet20', '--sparsity', '5'], 'Give the model first: resnet20 cifar10.'),
    (['find-ticket', *PAIR, '--set', 'model.name=vgg19'],
     "model.name: the model is the first argument of the command, 'lenet-300-100'. Give 'vgg19' there."),
    (['find-ticket', *PAIR, '--set', 'data={name: mnist}'],
     "data.name: the data set is the second argument of the command, 'digits'. Give 'mnist' there."),
    (['find-ticket', *PAIR, '--controls', 'nope'],
     "'nope' (known: erk, initial-weights, permute-mask, reinit, shuffle-mask, shuffle-weights, signs, signs-norm, "
     'smart-ratio, start-signs)'),
    (['find-gem', *PAIR, '--sparsity', '20,5,1'], "'20,5,1' is not one number. Give one, and run the command once"),
    (['find-gem', *PAIR, '--sparsity', '5%'], "'5%' is not a number. Leave out the %."),
    (['evaluate', ''], 'RUN is empty.'), (['finetune', ''], 'RUN is empty.')])
def test_a_mistake_in_arguments_is_named_with_the_way_out(lth, arguments, message):
    result = lth(*arguments)
    assert (result.code, result.out) == (2, '')
    assert message in result.err and result.err.count('\n') == 1


def test_set_may_repeat_the_name_of_the_model_in_any_spelling(lth):
    assert lth('find-ticket', *PAIR, '--set', 'model.name=LeNet_300_100', '--dry-run').code == 0


def test_a_second_run_is_an_error_where_the_folder_of_the_data_sets_is_expected(lth, run):
    for command, second in (('evaluate', 'runs/mine'), ('evaluate', 'mine/'), ('finetune', 'mine'), ('stability', run)):
        result = lth(command, run, second)
        assert (result.code, result.out) == (2, '')
        assert 'is a run and not the folder of the data sets. The command takes one run' in result.err


def test_a_folder_of_runs_is_an_error_that_lists_them(lth, run):
    assert "'runs' is not a run, but it holds runs: runs/mine. Give one of them." in lth('evaluate', 'runs').err
    for folder in ('mine-checks-round-01', 'mine-controls', 'mine-stability'):
        Path('runs', folder).mkdir()
        result = lth('plot', folder)
        assert result.code == 2 and f"'{folder}' is not a run: it holds what was measured of" in result.err
        assert 'Give runs/mine, with which commands such as plot and report show it.' in result.err
    for number in range(7):
        folder = Path(f'runs/{run}-checks/check-{number}')
        folder.mkdir(parents=True)
        (folder / 'recipe.yaml').touch()
    error = lth('show', 'run', f'{run}-checks').err
    assert 'runs/mine-checks/check-0' in error and 'check-4 and more.' in error and 'check-5' not in error


def test_a_run_of_another_algorithm_is_named_in_one_sentence(lth, run):
    result = lth('finetune', run, '--run', run)
    assert result.code == 2
    assert "runs/mine holds a run of the algorithm 'magnitude', and this command uses 'finetune'." in result.err
    assert '{' not in result.err


@pytest.mark.skipif(not os.path.isdir('/proc'), reason='needs a file system in which no folder can be created')
@pytest.mark.parametrize('folder', ['/proc/x', '/proc/x/y'])
def test_a_run_folder_that_cannot_be_created_says_that_nothing_was_started(lth, folder):
    result = lth('find-ticket', *PAIR, '-i', '1', '-e', '1', '--run', folder)
    assert result.code == 3
    assert 'Nothing was started. Choose another folder.' in result.err and 'resumes' not in result.err


@pytest.mark.parametrize('command', [(), *((command.name,) for command in app.registered_commands)])
def test_help_has_a_short_option(lth, command):
    assert lth(*command, '-h') == lth(*command, '--help')


@pytest.mark.parametrize(('options', 'expected'), [
    (('-e', '-3'), '--number-of-epochs: -3 is too small. Give at least 1.'),
    (('-e', '9999999999'), '--number-of-epochs: 9999999999 is too large. Give at most 999,999,999.'),
    (('--set', 'training.length=-3 epochs'), "or 0 for the start of training; it is '-3 epochs'"),
    (('y', '--data-dir', 'x'), "DATASETS is 'y', and --data-dir is 'x'. Leave one of them out.")])
def test_the_limit_of_a_length_and_a_second_data_folder_are_named(lth, options, expected):
    result = lth('find-ticket', 'lenet-300-100', 'digits', '--dry-run', *options)
    assert result.code == 2 and expected in result.err


def test_the_folder_of_the_data_sets_can_be_an_option(lth, tmp_path):
    (tmp_path / 'file').touch()
    result = lth('find-ticket', 'lenet-300-100', 'mnist', '--data-dir', 'file', '-i', '0', '-e', '1')
    assert result.code != 0 and 'MNIST is not in' in result.err and '/file and could not be downloaded' in result.err
