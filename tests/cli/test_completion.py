"""Shell completion: `lth --install-completion`, `lth --show-completion`, and what bash completes with it."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='bash is not installed')
ROOT = Path(__file__).parents[2]


def bash(home: Path, script: str) -> str:
    """The output of a script in bash, with the command lth of this checkout, in an empty home."""

    program = home / 'bin' / 'lth'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lth "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        'PATH': f'{program.parent}:{os.environ["PATH"]}', 'PYTHONPATH': str(ROOT), 'HOME': str(home)}
    done = subprocess.run(
        ['bash', '-c', script], capture_output=True, text=True, check=False, cwd=home, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bash_completes_commands_and_choices_once_completion_is_installed(tmp_path):
    completed = bash(tmp_path, '''
lth --install-completion > /dev/null
. ~/.bashrc
complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lth_completion lth; echo "${COMPREPLY[*]}"; }
complete_line lth find-
complete_line lth find-ticket --precision ""
complete_line lth list cr
''')
    assert completed == 'find-ticket find-gem\nfp32 tf32 bf16\ncriteria\n'


@pytest.mark.slow
def test_show_completion_prints_a_script_that_bash_can_source(tmp_path):
    shown = bash(tmp_path, '''
lth --show-completion > script && . ./script && complete -p lth
COMP_WORDS=(lth find-gem --dry); COMP_CWORD=2; _lth_completion lth; echo "${COMPREPLY[*]}"
''')
    assert shown == 'complete -o default -F _lth_completion lth\n--dry-run\n'
