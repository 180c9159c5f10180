"""`lth --help`, the help of each command, and the version."""
import re
import subprocess
import sys
import time

import pytest

COMMANDS = (
    'find-ticket', 'find-gem', 'finetune', 'evaluate', 'sanity-check', 'transfer', 'stability', 'convert-config',
    'list', 'show', 'prepare', 'bench')


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


@pytest.mark.parametrize('command', COMMANDS)
def test_help_of_every_command_has_examples(lth, command):
    result = lth(command, '--help')
    assert result.code == 0 and f'lth {command} ' in result.out


def test_examples_in_help_are_shown_as_they_are_typed(lth):
    shown = lth('find-ticket', '--help').out
    assert "keep_out='[output]'" in shown
    assert re.search(r'find-ticket \[OPTIONS\] \W?MODEL\W? \W?DATASET\W? \[DATASETS\]', shown)


def test_version(lth):
    assert lth('--version').out == 'lth 0.1.0\n'
