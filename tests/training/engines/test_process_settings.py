"""Settings of the process: changed by configure_process only, and never by the choice of an engine."""
import ctypes
import os
import threading

import pytest
import torch

from lth.training.engines import process_settings, select
from lth.training.engines.process_settings import configure_process, make_deterministic

CPU, GPU = torch.device('cpu'), torch.device('cuda', 0)


@pytest.fixture(autouse=True)
def restored_settings():
    """Restores the settings that all other tests run with."""

    yield
    configure_process(threads=1, device=CPU)


def flushes_denormals() -> bool:
    return float(torch.tensor([1e-39]) * torch.tensor([0.5])) == 0


def test_configure_process_sets_threads_and_flushes_denormals():
    torch.set_flush_denormal(False)
    assert not flushes_denormals()
    configure_process(threads=2, device=CPU)
    assert torch.get_num_threads() == 2 and flushes_denormals()


def test_configure_process_selects_the_gpu_by_its_index(gpus):
    configure_process(threads=1, device=CPU)
    configure_process(threads=1, device=torch.device('cuda', 3))
    assert gpus.selected == [torch.device('cuda', 3)]


@pytest.fixture(name='_gpu_settings')
def gpu_settings(monkeypatch):
    """Restores the settings that choose algorithms on GPUs."""

    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


def algorithm_settings() -> tuple[bool, bool, bool, str | None]:
    """cuDNN's autotuning, deterministic algorithms of cuDNN and of torch, and the workspace of cuBLAS."""

    return (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
            torch.are_deterministic_algorithms_enabled(), os.environ.get('CUBLAS_WORKSPACE_CONFIG'))


@pytest.mark.usefixtures('gpus', '_gpu_settings')
def test_on_a_gpu_algorithms_are_the_fastest_or_deterministic():
    configure_process(threads=1, device=GPU, deterministic=True)
    assert algorithm_settings() == (False, True, True, ':4096:8')
    configure_process(threads=1, device=GPU)
    assert algorithm_settings()[:3] == (True, False, False)


@pytest.mark.usefixtures('gpus', '_gpu_settings')
def test_make_deterministic_changes_only_algorithms_on_gpus(monkeypatch):
    before = algorithm_settings()
    make_deterministic(CPU)
    configure_process(threads=1, device=CPU, deterministic=True)
    assert algorithm_settings() == before
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':16:8')
    monkeypatch.setattr(torch, 'set_num_threads', lambda _: pytest.fail('the number of threads was changed'))
    make_deterministic(GPU)
    assert algorithm_settings() == (False, True, True, ':16:8')
    monkeypatch.undo()


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    calls = []

    class Glibc:
        """A C library with mallopt."""

        @staticmethod
        def mallopt(option: int, value: int) -> None:
            """Records its arguments."""

            calls.append((option, value))

    monkeypatch.setattr(ctypes, 'CDLL', lambda _name: Glibc)
    process_settings._keep_freed_memory()
    assert calls == [(-3, 2 ** 30), (-1, 2 ** 31 - 1)]
    monkeypatch.setattr(ctypes, 'CDLL', lambda _name: object())
    process_settings._keep_freed_memory()
    assert len(calls) == 2


@pytest.mark.parametrize('device', ['cpu', 'cuda', 'auto'])
def test_choosing_an_engine_changes_no_setting(monkeypatch, gpus, device):
    gpus.install(2, current=1)
    for setter in ('set_num_threads', 'set_flush_denormal', 'set_float32_matmul_precision'):
        monkeypatch.setattr(torch, setter, lambda *_: pytest.fail('a setting of the process was changed'))
    monkeypatch.setattr(torch.cuda, 'set_device', lambda *_: pytest.fail('the current device was changed'))
    monkeypatch.setattr(ctypes, 'CDLL', lambda *_: pytest.fail('the allocator was changed'))
    threads = set(threading.enumerate())
    for choice in ('auto', 'eager'):
        select.select_engine(device, choice=choice, capturable=True, obstacle=None)
    monkeypatch.undo()
    assert threads.issuperset(threading.enumerate())  # those of earlier tests may end meanwhile
