"""Commands that torchrun starts: rank 0 writes and prints, all end together, and resume."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
TORCHRUN = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node', '2', '-m', '--', 'lth']
SEARCH = ['find-ticket', 'lenet-300-100', 'digits', '-i', '1', '--checkpoint-every', '50 iterations']


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


def wait_for_checkpoint(folder):
    end = time.monotonic() + 100
    while not list(folder.glob('seed-0/checkpoint/*/*')):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_torchrun_trains_one_run_whose_ranks_are_stopped_killed_and_resumed(tmp_path):
    code, out, err = run(tmp_path, *SEARCH, '-e', '60', '--run', 'whole')
    assert code == 0 and out.count('Run folder: runs/whole') == 1
    assert err.count('Engine: eager, 2 ranks on cpu') == 1
    process = start(tmp_path, *SEARCH, '-e', '60', '--run', 'stopped')
    wait_for_checkpoint(tmp_path / 'runs/stopped')
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert err.count('Interrupted. Completed rounds and checkpoints are saved.') == 1
    assert 'torchrun --nproc-per-node 2 -m -- lth find-ticket' in err
    process = start(tmp_path, *SEARCH, '-e', '60', '--run', 'stopped')
    wait_for_checkpoint(tmp_path / 'runs/stopped')
    ranks = subprocess.run(['pgrep', '-P', str(process.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(ranks.split()[-1]), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert len(re.findall('Rank 0 of 2 on .*: another rank has ended', err)) == 1
    assert run(tmp_path, *SEARCH, '-e', '60', '--run', 'stopped')[0] == 0
    assert weights(tmp_path / 'runs/stopped') == weights(tmp_path / 'runs/whole')


def test_other_commands_are_refused_once(tmp_path):
    _, _, err = run(tmp_path, 'list', 'models')
    assert err.count('This command works in one process. Start it without torchrun') == 1


def test_ranks_with_other_arguments_are_refused_by_rank_0(tmp_path):
    variables = {'WORLD_SIZE': '2', 'LOCAL_WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '29713'}
    commands = [subprocess.Popen(
        [sys.executable, '-m', 'lth', *SEARCH, '-e', str(rank + 1)], cwd=tmp_path, stdout=subprocess.PIPE,
        env=environment(**variables, RANK=str(rank), LOCAL_RANK=str(rank)), stderr=subprocess.PIPE, text=True)
        for rank in range(2)]
    first, second = [command.communicate(timeout=100) for command in commands]
    assert re.search("Rank 1 of 2 on .* was started with other arguments .*-e 2'\\) than rank 0 .*-e 1'",
                     ' '.join(first[1].split()))
    assert [command.returncode for command in commands] == [2, 2] and not second[1].strip()
