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


@pytest.mark.parametrize(('command', 'option'), [*_single_options()])
def test_an_option_that_is_given_twice_is_an_error_in_every_command(lth, command, option):
    value = [] if option.is_flag else ['1']
    names = [*option.opts, *option.secondary_opts]
    result = lth(command, 'x', 'x', names[-1], *value, names[0], *value)
    assert (result.code, result.out) == (2, '')
    assert f'{"/".join(names)} is given 2 times. Give it once. See `lth {command} --help`.' in result.err


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
