"""Failures of a device are explained in one paragraph: memory that runs out, GPUs that are busy or not supported."""
import weakref

import pytest
import torch

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError
from lth.training.engines.cuda.engine import CudaGraph
from lth.training.engines.device_failures import explain_failures, explain_training_failures
from lth.training.task import Task
from tests.conftest import make_task

CPU, GPU = torch.device('cpu'), torch.device('cuda', 1)
NO_MEMORY = ('CUDA out of memory. Tried to allocate 2.26 GiB. GPU 1 has a total capacity of 79.11 GiB of which '
             '1.05 GiB is free. Including non-PyTorch memory, this process has 78.06 GiB memory in use.')
CAPTURE = 'CUDA error: operation failed due to a previous error during capture'


def explanation(error: Exception, device: torch.device = GPU) -> LthError:
    """How an error in a block that trains is explained."""

    with pytest.raises(LthError) as raised, explain_failures(device, 'training'):
        raise error
    return raised.value


def task_on(device: torch.device, **options) -> Task:
    """A task that never trains."""

    task = make_task(**options)
    return Task(task.network, task.data, task.data_settings, task.training, task.seeds, CudaGraph(device))


def test_memory_that_runs_out_on_a_gpu_is_explained_by_amounts_work_and_what_to_lower():
    with pytest.raises(LthError) as raised, explain_training_failures(task_on(GPU, seeds=(0, 1, 2), batch_size=16)):
        raise torch.OutOfMemoryError(NO_MEMORY)
    assert str(raised.value) == (
        'cuda:1 ran out of memory while training lenet-300-100 with batches of 16 in fp32, 3 seeds together: 2.26 GiB '
        'more are needed, 1.05 GiB of 79.11 GiB are free. Use smaller batches (training.batch_size, -b) or fewer seeds '
        'at a time (--seeds) or --precision bf16 or another device.')
    assert raised.value.exit_code == ENVIRONMENT_ERROR


@pytest.mark.parametrize(('device', 'options', 'remedies'), [
    (GPU, {'precision': 'bf16', 'seeds': (0, 1)}, {'smaller batches', 'fewer seeds', 'another device'}),
    (GPU, {'precision': 'tf32'}, {'smaller batches', '--precision bf16', 'another device'}),
    (CPU, {}, {'smaller batches', 'another device'})])
def test_only_what_takes_less_memory_is_advised(device, options, remedies):
    with pytest.raises(LthError) as raised, explain_training_failures(task_on(device, **options)):
        raise MemoryError
    known = 'smaller batches', 'fewer seeds', '--precision bf16', 'another device'
    assert {remedy for remedy in known if remedy in str(raised.value)} == remedies


def test_real_allocations_on_a_cpu_that_are_too_large_are_explained():
    with pytest.raises(LthError, match=r'cpu ran out of memory while training: 4,194,304\.00 GiB more are needed'), \
            explain_failures(CPU, 'training'):
        torch.empty(2 ** 52, dtype=torch.uint8)
    # As numpy says it.
    with pytest.raises(LthError, match=r'cpu ran out of memory while training: 4\.00 PiB more are needed'), \
            explain_failures(CPU, 'training'):
        raise MemoryError('Unable to allocate 4.00 PiB for an array with shape (4503599627370496,) and data type uint8')


@pytest.mark.parametrize('message', [
    'CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported',
    'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`',
    'cuDNN error: CUDNN_STATUS_ALLOC_FAILED'])
def test_memory_that_runs_out_in_a_library_is_an_error_of_the_environment(message):
    error = explanation(RuntimeError(message))
    assert str(error) == 'cuda:1 ran out of memory while training. Use another device.'
    assert error.exit_code == ENVIRONMENT_ERROR


def test_memory_that_runs_out_within_a_capture_is_found_behind_the_error_that_ends_the_capture():
    with pytest.raises(LthError, match='ran out of memory while training: 2.26 GiB'), explain_failures(GPU, 'training'):
        try:
            raise torch.OutOfMemoryError(NO_MEMORY)
        finally:
            raise RuntimeError(CAPTURE)


@pytest.mark.parametrize(('message', 'words', 'code'), [
    ('CUDA error: all CUDA-capable devices are busy or unavailable\nSearch for it', 'another process uses it alone',
     ENVIRONMENT_ERROR),
    ('CUDA error: no kernel image is available for execution on the device', 'has no code for this GPU',
     ENVIRONMENT_ERROR),
    ("adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set 'torch", 'Use '
     '--no-deterministic', USER_ERROR),
    ('Deterministic behavior was enabled with either ... you must set an environment variable before running your '
     'PyTorch application: CUBLAS_WORKSPACE_CONFIG=:4096:8', 'Start a new process', USER_ERROR)])
def test_other_failures_of_a_gpu_are_explained_with_the_first_line_of_torch(message, words, code):
    error = explanation(RuntimeError(message))
    assert str(error).startswith(f'cuda:1 failed while training ({message.splitlines()[0]}') and words in str(error)
    assert '\n' not in str(error) and error.exit_code == code


@pytest.mark.parametrize('error', [
    RuntimeError('a bug'), ZeroDivisionError(), RuntimeError(CAPTURE), LthError('known')])
def test_bugs_and_known_errors_are_passed_on_as_they_are(error):
    with pytest.raises(type(error)) as raised, explain_failures(GPU, 'training'):
        raise error
    assert raised.value is error


def test_an_explained_failure_does_not_keep_the_tensors_of_training():
    tensors = []

    def train() -> None:
        activations = torch.zeros(8)
        tensors.append(weakref.ref(activations))
        raise torch.OutOfMemoryError(NO_MEMORY)

    with pytest.raises(LthError) as raised, explain_failures(GPU, 'training'):
        train()
    assert isinstance(raised.value.__context__, torch.OutOfMemoryError) and tensors[0]() is None
