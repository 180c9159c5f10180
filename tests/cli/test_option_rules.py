"""Options that are given twice, exclude each other, or need another one: an error in each command, never a silent
choice.
"""
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from lth.cli import app

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
BENCH = ('bench', 'lenet-300-100', 'digits')


def _single_options() -> Iterator[Any]:
    """Each option that is no list, with its command."""

    for name, command in COMMANDS.items():
        for option in command.params:
            if option.param_type_name == 'option' and not option.multiple:
                yield pytest.param(name, option, id=f'{name} {option.name}')


@pytest.mark.slow
@pytest.mark.parametrize(('command', 'option'), [*_single_options()])
def test_an_option_that_is_given_twice_is_an_error_in_every_command(lth, command, option):
    value = [] if option.is_flag else ['1']
    names = [*option.opts, *option.secondary_opts]
    result = lth(command, 'x', 'x', names[-1], *value, names[0], *value)
    assert (result.code, result.out) == (2, '')
    assert f'{"/".join(names)} is given 2 times. Give it once. See `lth {command} --help`.' in result.err


def test_an_option_that_is_given_twice_is_an_error_with_both_of_its_names(lth):
    message = 'is given 2 times. Give it once.'
    assert f'-i/--number-of-iterations {message}' in lth('find-ticket', *BENCH[1:], '-i', '1', '-i', '2').err
    repeated = lth('find-ticket', *BENCH[1:], '--deterministic', '--no-deterministic')
    assert f'--deterministic/--no-deterministic {message}' in repeated.err


def test_set_can_be_repeated(lth):
    settings = ('--set', 'training.batch_size=30', '--set', 'data.validation=100')
    assert lth('find-ticket', *BENCH[1:], *settings, '--dry-run').code == 0


def test_help_is_shown_whatever_options_are_given_besides(lth):
    result = lth('bench', '--study', '--masks', '--study', '--help')
    assert result.code == 0 and 'Usage' in result.out


@pytest.mark.parametrize(('options', 'message'), [
    (['--run'], '--run has an effect only with --study. Give both, or leave out --run.'),
    (['--study', '--masks'], '--study cannot be combined with --masks. Leave out one of them.'),
    (['--profile', '--masks'], '--masks cannot be combined with --profile.'),
    (['--profile', '--convolutions'], '--convolutions cannot be combined with --profile.'),
    (['--study', '--densities', '1,0.5'], '--study cannot be combined with --densities.'),
    (['--masks', '--seeds', '2'], '--masks cannot be combined with --seeds.'),
    (['--masks', '--algorithm', 'gem-miner'], '--masks cannot be combined with --algorithm.')])
def test_what_bench_times_is_selected_by_one_option(lth, options, message):
    result = lth(*BENCH, *options)
    assert (result.code, result.out) == (2, '')
    assert message in result.err


@pytest.mark.parametrize(('options', 'key'), [
    (['-i', '3', '--set', 'algorithm.rounds=2'], 'algorithm.rounds'),
    (['-e', '3', '--set', 'training.length=2 epochs'], 'training.length'),
    (['-l', '0.1', '--set', 'training.optimizer={name: sgd, learning_rate: 0.1}'], 'training.optimizer.learning_rate'),
    (['--criterion', 'random', '--set', 'algorithm={criterion: magnitude}'], 'algorithm.criterion'),
    (['--precision', 'fp32', '--set', 'training.precision=fp32'], 'training.precision'),
    (['--set', 'training.batch_size=30', '--set', 'training.batch_size=60'], 'training.batch_size')])
def test_a_setting_that_is_also_set_by_an_option_is_an_error(lth, options, key):
    result = lth('find-ticket', *BENCH[1:], *options, '--dry-run')
    assert (result.code, result.out) == (2, '')
    assert f"'{key}' is set twice" in result.err


def test_the_density_of_a_gem_is_set_once(lth):
    result = lth('find-gem', *BENCH[1:], '--sparsity', '5', '--set', 'algorithm.density=0.5', '--dry-run')
    assert result.code == 2 and "'algorithm.density' is set twice" in result.err


def test_the_density_of_a_gem_may_be_a_setting_as_in_a_sweep(lth):
    by_option = lth('find-gem', *BENCH[1:], '--sparsity', '1.4', '--dry-run')
    by_setting = lth('find-gem', *BENCH[1:], '--set', 'algorithm.density=0.014', '--dry-run')
    assert by_option.code == 0 and by_setting == by_option


@pytest.mark.parametrize('setting', ['algorithm.density=x', 'algorithm.density=0', 'algorithm.density=1.5',
                                     'algorithm.density=true', 'algorithm={density: .inf}'])
def test_a_density_that_is_no_share_is_an_error(lth, setting):
    result = lth('find-gem', *BENCH[1:], '--set', setting, '--dry-run')
    assert result.code == 2 and 'algorithm.density: it should be the share of the weights' in result.err


@pytest.mark.parametrize('setting', ['algorithm=3', 'algorithm.penalty=1e-4', 'algorithm.density=null'])
def test_a_gem_without_a_density_is_an_error(lth, setting):
    result = lth('find-gem', *BENCH[1:], '--set', setting, '--dry-run')
    assert result.code == 2 and 'Give either --sparsity' in result.err


def test_an_option_may_change_a_setting_of_a_section_that_set_replaces(lth):
    options = ('-l', '0.1', '--set', 'training.optimizer={name: sgd, momentum: 0.9}')
    assert 'learning_rate: 0.1' in lth('find-ticket', *BENCH[1:], *options, '--dry-run').out
