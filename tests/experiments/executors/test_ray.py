"""--executor ray, on clusters of this machine: nodes that are killed, signals, and clusters that do not answer."""
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ray_nodes import ray_nodes
from tests.running_processes import command_lines

GRID = '''
command: find-ticket lenet-300-100 digits -i 2 -e 40
seeds: 0-1
folder: ./{folder}
grid:
  training.optimizer.learning_rate: [1.0e-3, 2.0e-3, 4.0e-3]
'''


def files(folder: Path) -> dict[str, bytes]:
    """The files of rounds and recipes in a folder."""

    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*')
            if path.is_file() and ('round-' in str(path) or path.name == 'recipe.yaml')}


def write_grid(folder: str) -> str:
    """The name of a grid file whose runs lie in this folder."""

    Path(f'{folder}.yaml').write_text(GRID.format(folder=folder), encoding='utf-8')
    return f'{folder}.yaml'


def call_when(condition: Callable[[], bool], function: Callable[[], Any]) -> threading.Thread:
    """Call a function in a thread as soon as the condition holds."""

    def wait() -> None:
        while not condition():
            time.sleep(0.02)
        function()
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.xdist_group('ray')
def test_a_sweep_completes_with_the_same_files_when_a_ray_node_is_killed(lth, tmp_path):
    assert lth('sweep', 'run', write_grid('undisturbed')).code == 0
    with ray_nodes(2) as cluster:
        killer = call_when(lambda: any(tmp_path.glob('disturbed/*/seed-*/round-00')),
                           lambda: cluster.kill(cluster.nodes[0]))
        result = lth('sweep', 'run', write_grid('disturbed'), '--executor', 'ray', '--address', cluster.address)
        killer.join()

    assert result.code == 0 and 'was lost' in result.err and 'Raylet' not in result.out + result.err
    assert files(tmp_path / 'disturbed') == files(tmp_path / 'undisturbed')


@pytest.mark.xdist_group('ray')
@pytest.mark.parametrize('number', [
    pytest.param(signal.SIGTERM, marks=pytest.mark.slow), pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_a_command_that_is_ended_leaves_a_run_that_resumes_and_no_processes(lth, tmp_path, number):
    search = ['find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '120', '--seeds', '0-1', '--run']
    command = [sys.executable, '-m', 'lth', *search, './ended', '--executor', 'ray']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while not any(tmp_path.glob('ended/seed-*/round-00')):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(number)
        output = process.communicate()[0]

    assert process.returncode == {signal.SIGTERM: 143, signal.SIGKILL: -9}[number], output
    assert '***' not in output and not list(tmp_path.glob('ended/**/*.partial'))
    end = time.monotonic() + 20
    while (left := children_of_session(process.pid)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left
    assert number == signal.SIGKILL or any(tmp_path.glob('ended/seed-*/checkpoint/*'))
    assert lth(*search, './ended').code == 0 == lth(*search, './undisturbed').code
    assert files(tmp_path / 'ended') == files(tmp_path / 'undisturbed')


def children_of_session(pid: int) -> list[str]:
    """The command lines of processes of a Ray cluster that the process had started: they name its session."""

    return [line for line in command_lines() if 'session_' in line and f'_{pid}/' in line]


@pytest.mark.parametrize('address, words', [
    ('nowhere', 'not an address of a Ray cluster'), ('127.0.0.1:1', 'Connection refused'),
    ('ray://127.0.0.1:1', 'Connection refused')])
def test_addresses_at_which_no_cluster_answers_are_refused(lth, tmp_path, address, words):
    pytest.importorskip('ray')

    result = lth('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run', './r', '--executor', 'ray',
                 '--address', address)

    assert result.code == (2 if 'nowhere' in address else 3) and words in ' '.join(result.err.split())
    assert not (tmp_path / 'r/recipe.yaml').exists()


@pytest.mark.slow
def test_a_cluster_that_listens_and_does_not_answer_is_refused_after_the_time_limit(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as silent:
        address = f'127.0.0.1:{silent.getsockname()[1]}'
        result = subprocess.run(
            [sys.executable, '-m', 'lth', 'find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run',
             str(tmp_path / 'r'), '--executor', 'ray', '--address', address, '--executor-set', 'time_limit=3'],
            capture_output=True, text=True, timeout=120, check=False, env=os.environ | {'COLUMNS': '200'})

    assert result.returncode == 3 and 'no answer within 3 seconds' in result.stderr
