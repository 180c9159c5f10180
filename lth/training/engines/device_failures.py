"""Failures of a device while it computes, such as too little memory: what was computed there, and what to change.

To explain another failure, add a part of torch's message to `_FAILURES`.
"""
import contextlib
import re
import traceback
from collections.abc import Iterator, Sequence

import torch

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError
from lth.training.task import Task

# Parts of the messages for memory that cannot be allocated by torch on a CPU or on a GPU, or by NVIDIA's libraries.
_OUT_OF_MEMORY = (
    "can't allocate memory", 'out of memory', 'CUBLAS_STATUS_ALLOC_FAILED', 'CUDNN_STATUS_ALLOC_FAILED',
    'DEVICE_ALLOCATION_FAILED')
_NEEDED = re.compile(r'(?:[Tt]ried|Unable) to allocate ([\d.]+) (bytes|[KMGTP]iB)')
_FREE = re.compile(r'capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free')

# Parts of other messages, with an explanation and an exit code.
_FAILURES = {
    'busy or unavailable': (
        'another process uses it alone (nvidia-smi shows which). Wait for it, or use another device',
        ENVIRONMENT_ERROR),
    'no kernel image is available': (
        f'torch {torch.__version__} has no code for this GPU. Install a build that supports it '
        '(https://pytorch.org/get-started/locally), or use another device', ENVIRONMENT_ERROR),
    'uncorrectable ECC error': (
        'its memory is damaged. Reset the GPU (nvidia-smi --gpu-reset), or use another device', ENVIRONMENT_ERROR),
    'does not have a deterministic implementation': (
        'this operation of the network does not repeat bit for bit on a GPU. Use --no-deterministic, a network without '
        'it, or the device cpu', USER_ERROR),
    'CUBLAS_WORKSPACE_CONFIG': (
        'cuBLAS was used before deterministic results were asked for, and reads its settings only once. Start a new '
        'process, or set the environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8 before it starts', USER_ERROR)}


@contextlib.contextmanager
def explain_failures(device: torch.device, work: str, remedies: Sequence[str] = ('another device',)) -> Iterator[None]:
    """Raise a failure of the device in this block as an LthError in one paragraph; other exceptions are passed on.

    `work` is what the block does, such as 'reading mnist', and `remedies` what takes less memory.
    """

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        failure = _explanation(error, device, work, remedies)
        if failure is None:
            raise
        # The variables of these frames hold tensors, which would stay in memory as long as the error is kept.
        traceback.clear_frames(error.__traceback__)
        raise failure from None


def explain_training_failures(task: Task) -> contextlib.AbstractContextManager[None]:
    """A context that explains failures of the device while the task is trained."""

    training, device, seeds = task.training, task.engine.device, len(task.seeds)
    remedies = ['smaller batches (training.batch_size, -b)']
    if seeds > 1:
        remedies.append('fewer seeds at a time (--seeds)')
    if device.type == 'cuda' and training.precision != 'bf16':
        remedies.append('--precision bf16')
    together = f', {seeds} seeds together' if seeds > 1 else ''
    work = f'training {task.network.settings.name} with batches of {training.batch_size} in {training.precision}'
    return explain_failures(device, work + together, [*remedies, 'another device'])


def _explanation(error: Exception, device: torch.device, work: str, remedies: Sequence[str]) -> LthError | None:
    for cause in _causes(error):
        text = str(cause)
        if isinstance(cause, (MemoryError, torch.OutOfMemoryError)) or any(part in text for part in _OUT_OF_MEMORY):
            return LthError(f'{device} ran out of memory while {work}{_amounts(text)}. Use {" or ".join(remedies)}.',
                            exit_code=ENVIRONMENT_ERROR)
        for part, (explanation, code) in _FAILURES.items():
            if part in text:
                return LthError(f'{device} failed while {work} ({text.splitlines()[0].rstrip(".")}): {explanation}.',
                                exit_code=code)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that led to it: where memory runs out in a capture, ending the capture fails too."""

    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _amounts(text: str) -> str:
    """How much memory was needed and how much is free, as far as a message says it."""

    needed, free = _NEEDED.search(text), _FREE.search(text)
    parts = []
    if needed:
        amount = f'{float(needed[1]) / 2 ** 30:,.2f} GiB' if needed[2] == 'bytes' else f'{needed[1]} {needed[2]}'
        parts.append(f'{amount} more are needed')
    if free:
        parts.append(f'{free[2]} of {free[1]} are free')
    return ': ' * bool(parts) + ', '.join(parts)
