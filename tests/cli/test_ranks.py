"""Commands that torchrun starts: rank 0 writes and prints, all end together, and resume."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed import HashStore

from lth.errors import LthError
from lth.experiments.distributed import membership
from lth.system.launch import Launch
from lth.training.engines.distributed.message_board import MessageBoard
from tests.running_processes import children

ROOT = Path(__file__).parent.parent.parent
TORCHRUN = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node', '2', '-m', '--', 'lth']
SEARCH = ['find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '40', '--checkpoint-every', '20 iterations']


def environment(**changes):
    return os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'COLUMNS': '200'} | changes


def start(folder, *arguments):
    return subprocess.Popen([*TORCHRUN, *arguments], cwd=folder, env=environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def run(folder, *arguments):
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def weights(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.glob('seed-*/round-*/*.safetensors')}


def checkpoints(folder):
    return set(folder.glob('seed-0/checkpoint/*/SHA256SUMS'))


def start_until_checkpoint(folder):
    """The command, after it has saved one more checkpoint of the run `stopped`."""

    run_folder = folder / 'runs/stopped'
    known, process, end = checkpoints(run_folder), start(folder, *SEARCH, '--run', 'stopped'), time.monotonic() + 100
    while not checkpoints(run_folder) - known:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    return process


@pytest.mark.slow
def test_torchrun_trains_one_run_whose_ranks_are_stopped_killed_and_resumed(tmp_path):
    code, out, err = run(tmp_path, *SEARCH, '--run', 'whole')
    assert code == 0 and out.count('Run folder: runs/whole') == 1
    assert err.count('Engine: eager, 2 ranks on cpu') == 1
    process = start_until_checkpoint(tmp_path)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert err.count('Interrupted. Completed rounds and checkpoints are saved.') == 1
    assert 'torchrun --nproc-per-node 2 -m -- lth find-ticket' in err
    process = start_until_checkpoint(tmp_path)
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    # torchrun ends rank 0 too, which may be faster than the loss of its connection.
    assert re.search('Rank 0 of 2 on .*: another rank has ended|Interrupted. Completed rounds', err), err
    assert run(tmp_path, *SEARCH, '--run', 'stopped')[0] == 0
    assert weights(tmp_path / 'runs/stopped') == weights(tmp_path / 'runs/whole')


@pytest.fixture
def ranked(monkeypatch):
    """This process is rank 0 of 2."""

    numbers = {'RANK': 0, 'WORLD_SIZE': 2, 'LOCAL_RANK': 0, 'LOCAL_WORLD_SIZE': 2, 'MASTER_PORT': 1}
    for name, value in numbers.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')


@pytest.mark.usefixtures('ranked')
def test_commands_that_train_no_network_are_refused(lth):
    for command in (['list', 'models'], ['stability', 'lenet-300-100', 'digits'], ['evaluate', 'run']):
        result = lth(*command)
        assert result.code == 2 and 'This command works in one process. Start it without torchrun' in result.err


def test_ranks_with_other_arguments_or_versions_are_refused_by_rank_0(monkeypatch):
    launch = Launch(rank=0, size=2, local_rank=0, local_size=2)
    monkeypatch.setattr(sys, 'argv', ['lth', 'find-ticket', '-e', '1'])
    for own, command, versions, message in (
            (True, 'find-ticket -e 2', '', "started with other arguments ('find-ticket -e 2') than rank 0 .*-e 1'"),
            (False, 'find-ticket -e 1', 'lth 0.0.1 and torch 1.1', 'node-7 runs lth 0.0.1 and torch 1.1, and Rank 0')):
        board = MessageBoard(HashStore())
        facts = membership.Facts.own()
        board.write('facts/1', membership.Facts(command, facts.versions if own else versions, 'node-7'))
        monkeypatch.setattr(membership, '_boards', [board])
        with pytest.raises(LthError, match='^Rank 1 of 2 on node-7') as raised:
            membership.join(launch)
        assert re.search(message.replace('(', '\\(').replace(')', '\\)'), str(raised.value))
