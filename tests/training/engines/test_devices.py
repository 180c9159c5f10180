"""Names of devices, resolved on machines with and without GPUs (torch.cuda is faked)."""
import pytest
import torch

from lth.errors import LthError
from lth.training.engines.devices import current_device, resolve_device


@pytest.fixture
def gpus(monkeypatch):
    """Returns a function that gives this machine some GPUs, one of which is the current one."""

    def set_gpus(count: int, *, current: int = 0) -> None:
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: count > 0)
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
        monkeypatch.setattr(torch.cuda, 'current_device', lambda: current)
    return set_gpus


def test_auto_is_the_cpu_without_a_gpu_and_else_the_current_gpu(gpus):
    gpus(0)
    assert resolve_device('auto') == torch.device('cpu')
    gpus(2, current=1)
    assert resolve_device('auto') == torch.device('cuda', 1)


@pytest.mark.parametrize(('name', 'index'), [('cuda', 1), ('cuda:0', 0), ('cuda:1', 1)])
def test_a_gpu_always_has_an_index(gpus, name, index):
    gpus(2, current=1)
    assert resolve_device(name) == torch.device('cuda', index)


def test_the_cpu_is_available_next_to_gpus(gpus):
    gpus(1)
    assert resolve_device('cpu') == torch.device('cpu')


@pytest.mark.parametrize(('count', 'name', 'available'), [
    (0, 'cuda', r'0 GPU\(s\)'), (1, 'cuda:1', r'1 GPU\(s\)'), (4, 'cuda:99', r'4 GPU\(s\)')])
def test_a_missing_gpu_is_an_error_that_counts_the_available_ones(gpus, count, name, available):
    gpus(count)
    with pytest.raises(LthError, match=f"Device '{name}' is not available: .*{available}"):
        resolve_device(name)


@pytest.mark.parametrize('name', ['gpu', 'meta', 'tpu', '', 'cuda:', 'cuda:x', 'cuda:-1', 'mps'])
def test_an_unknown_device_is_an_error(gpus, name):
    gpus(1)
    with pytest.raises(LthError, match='Unknown device'):
        resolve_device(name)


def test_the_cpu_needs_no_current_device():
    with current_device(torch.device('cpu')):
        assert torch.ones(2).sum() == 2
