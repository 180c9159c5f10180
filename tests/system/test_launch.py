"""Whether torchrun started a process."""
import sys

import pytest

from lth.errors import LthError
from lth.system.launch import Launch, command_line, launch, refuse_other_variables

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


@pytest.mark.parametrize('changed', [
    {'RANK': 'x'}, {'RANK': '-1'}, {'RANK': '4'}, {'LOCAL_RANK': '2'}, {'LOCAL_WORLD_SIZE': '0'}, {'WORLD_SIZE': '0'},
    {'LOCAL_WORLD_SIZE': '5'}, {'MASTER_ADDR': ''}, {'MASTER_PORT': 'x'}, {'WORLD_SIZE': '9' * 5000}])
def test_numbers_that_do_not_fit_together_are_refused(monkeypatch, changed):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    refuse_other_variables()
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    assert launch() is None and not command_line().startswith('torchrun')
    with pytest.raises(LthError, match='do not fit together: RANK='):
        refuse_other_variables()
