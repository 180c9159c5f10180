"""Names of devices, resolved on machines with and without GPUs, or whose GPU does not work (torch.cuda is faked)."""
import pytest
import torch

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError
from lth.training.engines.devices import current_device, gpu_failure, resolve_device
from tests.fake_gpu import BAD_STATE, NO_DRIVER, NO_GPU, OLD_DRIVER


def error_of(name: str) -> LthError:
    """The error of a device that cannot be used."""

    with pytest.raises(LthError, match=f"^Device '{name}' is not available: ") as raised:
        resolve_device(name)
    return raised.value


def test_auto_is_the_cpu_without_a_gpu_and_else_the_current_gpu(gpus):
    assert resolve_device('auto') == torch.device('cpu')
    gpus.install(2, current=1)
    assert resolve_device('auto') == torch.device('cuda', 1)


@pytest.mark.parametrize(('name', 'index'), [('cuda', 1), ('cuda:0', 0), ('cuda:1', 1)])
def test_a_gpu_always_has_an_index(gpus, name, index):
    gpus.install(2, current=1)
    assert resolve_device(name) == torch.device('cuda', index)


def test_the_cpu_is_available_next_to_gpus(gpus):
    gpus.install(1)
    assert resolve_device('cpu') == torch.device('cpu')


@pytest.mark.parametrize(('count', 'name', 'known'), [
    (1, 'cuda:1', 'torch sees only cuda:0'), (2, 'cuda:5', 'torch sees cuda:0 to cuda:1')])
def test_a_gpu_that_does_not_exist_is_an_error_that_names_those_that_do(gpus, count, name, known):
    gpus.install(count)
    error = error_of(name)
    assert known in str(error) and 'CUDA_VISIBLE' not in str(error) and error.exit_code == USER_ERROR


@pytest.mark.parametrize(('visible', 'count', 'name', 'words'), [
    ('', 0, 'cuda', "CUDA_VISIBLE_DEVICES='' hides all GPUs; unset it"),
    ('-1', 0, 'cuda:0', "CUDA_VISIBLE_DEVICES='-1' hides all GPUs; unset it"),
    ('3', 1, 'cuda:3', "CUDA_VISIBLE_DEVICES='3' hides the others, and those left are counted from 0")])
def test_an_error_names_the_variable_that_hides_gpus(gpus, monkeypatch, visible, count, name, words):
    gpus.install(count)
    if count == 0:
        monkeypatch.setattr(torch.cuda, 'init', lambda: gpus.fail(NO_GPU))
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    error = error_of(name)
    assert words in str(error) and error.exit_code == USER_ERROR


def test_a_machine_without_a_driver_is_an_error_that_says_so(gpus):
    gpus.install(0)
    error = error_of('cuda')
    assert 'torch finds no NVIDIA driver' in str(error) and error.exit_code == USER_ERROR


def test_a_torch_without_cuda_is_an_error_that_says_so(gpus, monkeypatch):
    gpus.install(0)
    monkeypatch.setattr(torch.version, 'cuda', None)
    assert 'was built without CUDA' in str(error_of('cuda'))
    assert resolve_device('auto') == torch.device('cpu') and gpu_failure() is None


@pytest.mark.parametrize(('message', 'words'), [
    (OLD_DRIVER, f'It supports CUDA up to 12.8, and torch {torch.__version__} needs CUDA 13.0.'),
    (BAD_STATE, 'Error 802: system not yet initialized')])
def test_a_driver_that_fails_is_an_error_of_the_environment(gpus, message, words):
    gpus.break_driver(message)
    for name in ('cuda', 'cuda:0'):
        error = error_of(name)
        assert words in str(error) and error.exit_code == ENVIRONMENT_ERROR


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('message', [OLD_DRIVER, BAD_STATE])
def test_auto_is_the_cpu_if_the_driver_fails_and_there_is_a_reason_to_report(gpus, message):
    gpus.break_driver(message)
    assert resolve_device('auto') == torch.device('cpu')
    assert gpu_failure() in str(error_of('cuda'))


@pytest.mark.parametrize('message', [NO_DRIVER, NO_GPU])
def test_a_machine_without_a_gpu_has_no_failure_to_report(gpus, message):
    gpus.break_driver(message, count=0)
    assert gpu_failure() is None
    gpus.install(1)
    assert gpu_failure() is None


@pytest.mark.parametrize('name', ['gpu', 'meta', 'tpu', '', 'cuda:', 'cuda:x', 'cuda:-1'])
def test_an_unknown_device_is_an_error(gpus, name):
    gpus.install(1)
    with pytest.raises(LthError, match='Unknown device'):
        resolve_device(name)


@pytest.mark.parametrize('name', ['mps', 'mps:0'])
def test_the_gpu_of_a_mac_is_refused(gpus, name):
    gpus.install(0)
    with pytest.raises(LthError, match=f"^Device '{name}' is not supported: .* Use the device cpu.$"):
        resolve_device(name)


def test_the_cpu_needs_no_current_device():
    with current_device(torch.device('cpu')):
        assert torch.ones(2).sum() == 2
