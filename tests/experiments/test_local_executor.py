"""The executor `local`: how many tasks it trains at the same time, and on which devices."""
from dataclasses import replace
from pathlib import Path

import pytest

from lth.experiments.executors import local, make_executor
from lth.experiments.run_target import RunTarget
from lth.system import pool_worker, processes, worker_pool
from tests.fake_gpu import FakeGpus


class _Pool:
    """A pool without processes, which records its slots."""

    slots: list[int] = []

    def __init__(self, _work, slots):
        self.slots.append(slots)

    def __class_getitem__(cls, _key):
        return cls

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch):
    monkeypatch.setattr(worker_pool, 'WorkerPool', _Pool)
    _Pool.slots.clear()


def capacity(device: str, threads: int = 1) -> int:
    """The capacity of a session for this device."""

    with make_executor('local', {}).open(RunTarget(Path(), Path(), device, threads)) as session:
        return session.capacity


def test_there_is_a_process_for_each_core_or_gpu_and_tasks_wait_for_it(monkeypatch):
    monkeypatch.setattr(processes, 'core_count', lambda: 8)
    FakeGpus(monkeypatch).install(3)
    assert [capacity('cpu'), capacity('cpu', 3), capacity('cuda'), capacity('cuda:1')] == [16, 4, 6, 2]
    assert _Pool.slots == [8, 2, 3, 1]


def test_a_worker_trains_on_the_gpu_of_its_slot(monkeypatch):
    FakeGpus(monkeypatch).install(3)
    devices = []
    monkeypatch.setattr(local, 'train_in_worker', lambda _recipe, target, *_rest: devices.append(target.device))
    target = RunTarget(Path(), Path(), 'cuda')
    for slot, one in ((2, target), (0, replace(target, device='cuda:1')), (0, replace(target, device='cpu'))):
        monkeypatch.setattr(pool_worker, 'slot', lambda slot=slot: slot)
        local._train_on_slot({}, one, (0,), {}, print)  # pylint: disable=protected-access
    assert devices == ['cuda:2', 'cuda:1', 'cpu']
