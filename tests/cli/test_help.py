"""`lth --help`, the help of each command, the names of options, and the version."""
import inspect
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.models import OptionInfo

from lth import __version__
from lth.cli import app

COMMANDS = (
    'find-ticket', 'find-gem', 'train-sparse', 'finetune', 'evaluate', 'sanity-check', 'transfer', 'pool', 'align',
    'stability', 'early-bird', 'train-early-birds', 'convert-config', 'import', 'list', 'show', 'compare', 'export',
    'export-metrics', 'plot',
    'report', 'reproduce', 'sweep', 'repair', 'prepare', 'card', 'push', 'pull', 'bench')


def declared_options(function: Callable[..., Any] | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the parameters of a command that are options, with their explicit names."""

    assert function is not None
    for parameter in inspect.signature(function).parameters.values():
        for part in (*get_args(parameter.annotation), parameter.default):
            if isinstance(part, OptionInfo):
                # In an annotation, the first name is what typer calls the default.
                names = [part.default, *(part.param_decls or ())]
                # An option and its opposite are written as --deterministic/--no-deterministic.
                yield parameter.name, [word for name in names for word in str(name).split('/') if word.startswith('-')]


def test_help_lists_every_command_without_importing_torch():
    took = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run([sys.executable, '-m', 'lth', '--help'], capture_output=True, text=True, check=True)
        took.append(time.monotonic() - began)
    assert all(command in done.stdout for command in COMMANDS)
    code = 'import sys, lth.cli; print("torch" in sys.modules, "pydantic" in sys.modules)'
    modules = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert modules.split() == ['False', 'False'], f'slow imports in --help, which took {min(took):.2f} s'


def test_a_mistyped_run_and_lists_of_functions_do_not_wait_for_torch(tmp_path):
    commands = [[command, 'nope'] for command in ('evaluate', 'finetune', 'sanity-check', 'stability', 'repair')]
    commands += [['show', 'run', 'nope'], ['export-metrics', 'nope', '-o', 'm.csv'], ['compare', 'nope', 'x']]
    commands += [['transfer', 'nope', '--to', 'digits'], ['list', 'criteria'], ['list', 'actions']]
    code = ('import json, sys; from typer.testing import CliRunner; from lth.cli import app; '
            'print([CliRunner().invoke(app, words).exit_code for words in json.loads(sys.argv[1])], '
            '"torch" in sys.modules)')
    done = subprocess.run(
        [sys.executable, '-c', code, json.dumps(commands)], capture_output=True, text=True, check=True,
        env=os.environ | {'PYTHONPATH': str(Path(__file__).parents[2])}, cwd=tmp_path)
    assert done.stdout.strip() == '[2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0] False'


def test_lth_alone_prints_its_help_with_exit_code_0(lth):
    assert lth() == lth('--help') and lth().code == 0 and 'find-ticket' in lth().out


@pytest.mark.parametrize('command', COMMANDS)
def test_help_of_every_command_has_examples(lth, command):
    result = lth(command, '--help')
    assert result.code == 0 and f'lth {command} ' in result.out


def test_every_option_has_an_explicit_name():
    # Without one, typer 0.27 lost the option --seeds: its metavar was the name of its parameter in capitals.
    declared = [(command.name, *option) for command in app.registered_commands
                for option in declared_options(command.callback)]
    unnamed = [(command, parameter) for command, parameter, names in declared
               if not any(name.startswith('--') for name in names)]
    assert len(declared) > 100 and not unnamed


@pytest.mark.parametrize('command', app.registered_commands, ids=lambda command: command.name)
def test_help_shows_every_option_that_a_command_declares(lth, command):
    declared = {name for _, names in declared_options(command.callback) for name in names}
    assert declared - set(lth(command.name, '--help').out.split()) == set()


def test_examples_in_help_are_shown_as_they_are_typed(lth):
    shown = lth('find-ticket', '--help').out
    assert "keep_out='[output]'" in shown
    # Only newer versions of typer write the last one in brackets.
    assert re.search(r'find-ticket \[OPTIONS\] \W?MODEL\W? \W?DATASET\W? \[?DATASETS\]?', shown)


def test_version(lth):
    assert lth('--version').out == f'lth {__version__}\n'
