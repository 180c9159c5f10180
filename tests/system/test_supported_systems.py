"""What lth says on Windows, which has no fcntl and no SIGHUP."""
import subprocess
import sys

import pytest

WINDOWS = '\n'.join([
    'import signal, sys', "sys.modules['fcntl'] = sys.modules['resource'] = None", 'del signal.SIGHUP',
    "sys.platform = 'win32'"])


def on_windows(code: str) -> 'subprocess.CompletedProcess[str]':
    """Run Python code where the modules and names are missing that Windows lacks."""

    return subprocess.run([sys.executable, '-c', f'{WINDOWS}\n{code}'], capture_output=True, text=True, check=False)


def test_a_command_is_refused_in_one_sentence_with_a_way_out():
    done = on_windows('import lth.__main__; lth.__main__.main()')
    assert done.returncode == 3 and done.stdout == ''
    line, = done.stderr.splitlines()
    assert line.startswith('Error: lth does not run on Windows') and 'wsl --install' in line


@pytest.mark.parametrize('name', ['find_ticket', 'LthError', 'MODELS'])
def test_the_python_functions_are_refused_too(name):
    done = on_windows(f'import lth; print(lth.__version__); lth.{name}')
    assert done.stdout.count('.') == 2 and done.stderr.splitlines()[-1].startswith(
        'lth.errors.LthError: lth does not run on Windows')


def test_the_replacement_of_windows_would_fail_otherwise():
    assert 'ModuleNotFoundError: import of fcntl halted' in on_windows('import lth.system.file_lock').stderr
