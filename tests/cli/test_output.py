"""Output that cannot be written: closed pipes and streams, full disks, encodings that lack characters."""
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from lth.cli import command, console
from lth.system import streams

PRINTS = '''
import atexit, ctypes, logging, subprocess, sys
from torch import nn
C = ctypes.CDLL(None)

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, classes))

    def forward(self, images):
        print('é printed by forward')
        C.puts(b'printed by C')
        return self.layers(images)

def net(shape, classes):
    print('é printed by net')
    print('printed to the first stream', file=sys.__stdout__)
    subprocess.run(['echo', 'printed by a child'])
    logging.warning('logged')
    atexit.register(print, 'printed at exit')
    return Net(shape, classes)
'''
QUICK = 'find-ticket lenet-300-100 digits -i 1 -e 1 -b 100'


class Broken(io.StringIO):
    """A stream that cannot be written to, as the standard error of a terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError(5, 'Input/output error')

    def flush(self) -> None:
        raise OSError(5, 'Input/output error')


class ClosedPipe(Broken):
    """A pipe that nobody reads."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, 'Broken pipe')


def skip_without_full_device(line: str) -> None:
    if '/dev/full' in line and not os.path.exists('/dev/full'):
        pytest.skip('needs a device that is always full')


def shell(folder: Path, line: str, **environment: str) -> 'subprocess.CompletedProcess[str]':
    """Run a line in which `lth` is the command of this checkout."""

    line = f'lth() {{ {sys.executable} -m lth "$@"; }}; {line}'
    root = str(Path(__file__).parents[2])
    return subprocess.run(['bash', '-c', line], cwd=folder, capture_output=True, text=True, check=False, timeout=120,
                          env=os.environ | {'PYTHONPATH': root, 'COLUMNS': '200'} | environment)


def test_messages_that_cannot_be_written_are_lost_and_end_no_search(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', Broken())
    console.print_message('lost')
    console.print_note('lost')


@pytest.mark.parametrize(('stream', 'code'), [(ClosedPipe(), 0), (Broken(), 3)])
def test_a_result_that_cannot_be_written_is_an_error_unless_nobody_reads_it(monkeypatch, stream, code):
    monkeypatch.setattr(sys, 'stdout', stream)
    with pytest.raises(typer.Exit) as end, command.exit_codes():
        console.print_raw('result')
    assert end.value.exit_code == code


def test_a_pipe_that_closes_before_all_work_is_done_ends_the_command_with_141(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', ClosedPipe())
    with pytest.raises(typer.Exit) as end, command.exit_codes(), command.more_work():
        console.print_raw('result')
    assert end.value.exit_code == 141


def test_only_an_error_of_standard_output_is_called_so(capsys):
    with pytest.raises(typer.Exit) as end, command.exit_codes():
        raise OSError(28, 'No space left on device')
    assert end.value.exit_code == 3
    message = capsys.readouterr().err
    assert 'No space left on device' in message and 'standard output' not in message


def test_a_file_that_ends_early_is_no_ctrl_c():
    with pytest.raises(RuntimeError, match='ended early'), command.exit_codes():
        raise EOFError


def test_characters_that_the_encoding_lacks_are_replaced(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding='ascii')
    monkeypatch.setattr(sys, 'stdout', stream)
    console.print_raw('50.00 ± 0.12')
    stream.flush()
    assert stream.buffer.getvalue() == b'50.00 ? 0.12\n'


def test_what_user_code_prints_is_no_result(lth):
    text = PRINTS.replace("C.puts(b'printed by C')", '')
    Path('net.py').write_text(text.replace('subprocess.run', 'print').replace('atexit.register', 'print'))
    result = lth('find-ticket', 'net.py:net', 'digits', '--dry-run', '--json')
    assert json.loads(result.out)['model'] == 'net.py:net' and 'printed by net' in result.err


@pytest.mark.parametrize('stream', [Broken(), ClosedPipe()])
def test_what_user_code_prints_is_lost_if_it_cannot_be_written(monkeypatch, stream):
    monkeypatch.setattr(sys, 'stderr', stream)
    monkeypatch.setattr(sys, 'stdout', results := io.StringIO())
    with streams.reserved_for_results():
        print('a print of the user')
        print('another', file=sys.stderr)
        console.print_raw('the result')
    assert results.getvalue() == 'the result\n' and (sys.stdout, sys.stderr) == (results, stream)


@pytest.mark.slow
def test_nothing_but_json_reaches_standard_output_with_json(tmp_path):
    (tmp_path / 'net.py').write_text(PRINTS)
    result = shell(tmp_path, "lth find-ticket net.py:net digits -i 1 --set 'training.length=2 iterations' --seeds 0-1 "
                   '--json', PYTHONIOENCODING='ascii')
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)['run'] == 'runs/net.py-net-digits'
    for line in ('? printed by net', 'printed by C', 'printed by a child', 'printed at exit', '? printed by forward'):
        assert line in result.stderr.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(('line', 'code', 'error'), [
    (f'lth {QUICK} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}', 0, ''), (f'lth {QUICK} > t 2> /dev/full', 0, ''),
    (f'lth {QUICK} >&- 2>&-', 0, ''), (f'lth {QUICK} > /dev/full', 3, 'standard output: No space left on device')])
def test_a_search_is_complete_whatever_becomes_of_its_output(tmp_path, line, code, error):
    skip_without_full_device(line)
    result = shell(tmp_path, line)
    assert result.returncode == code and error in result.stderr
    assert (tmp_path / 'runs/lenet-300-100-digits/seed-0/round-01/metrics.jsonl').exists()


@pytest.mark.slow
@pytest.mark.parametrize(('line', 'code'), [
    ('lth --version > /dev/full', 3), ('lth list models >&-', 0), ('lth --version >&-', 0), ('lth --help', 0),
    ('lth list algorithms', 0), ('lth show recipe lenet-300-100-mnist > /dev/full', 3),
    ('lth --help | true; exit ${PIPESTATUS[0]}', 0), ('lth finetune --help | true; exit ${PIPESTATUS[0]}', 0)])
def test_output_never_ends_in_a_traceback(tmp_path, line, code):
    skip_without_full_device(line)
    result = shell(tmp_path, line, PYTHONIOENCODING='ascii')
    assert result.returncode == code, result.stderr
    assert 'Traceback' not in result.stderr and len(result.stderr.splitlines()) == (code != 0)


@pytest.mark.slow
def test_a_wrong_command_whose_message_nobody_reads_has_the_exit_code_of_wrong_input(tmp_path):
    assert shell(tmp_path, 'lth nope 2>&1 | true; exit ${PIPESTATUS[0]}').returncode == 2
