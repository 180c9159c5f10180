"""Whether torchrun started a process."""
import sys

import pytest

from lth.system.launch import Launch, command_line, launch

TORCHRUN = {'RANK': '3', 'WORLD_SIZE': '4', 'LOCAL_RANK': '1', 'LOCAL_WORLD_SIZE': '2', 'MASTER_ADDR': 'node-0',
            'MASTER_PORT': '29500'}


def test_torchrun_tells_a_process_its_rank(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert launch() == Launch(rank=3, size=4, local_rank=1, local_size=2)
    monkeypatch.setattr(sys, 'argv', ['lth', 'find-ticket', '--run', 'a b'])
    assert command_line() == "torchrun --nnodes 2 --nproc-per-node 2 -m -- lth find-ticket --run 'a b'"


@pytest.mark.parametrize('changed', [{'WORLD_SIZE': '1'}, {'MASTER_ADDR': None}, {'LOCAL_RANK': None}, {'RANK': 'x'}])
def test_one_process_and_single_variables_of_clusters_are_no_ranks(monkeypatch, changed):
    for name, value in (TORCHRUN | changed).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, 'argv', ['lth', 'list', 'models'])
    assert launch() is None and command_line() == 'lth list models'
