"""Settings of the process that make training fast and repeatable. Nothing else in the package changes them."""
import ctypes
import os

import torch

from lth.errors import LthError
from lth.training.engines.device_failures import explain_failures

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def configure_process(*, threads: int, device: torch.device, deterministic: bool = False) -> None:
    """Set torch's number of CPU threads, flush denormal numbers to zero, keep freed memory, and select the GPU.

    The bits of a result depend on the number of threads and on the handling of denormal numbers, so every process that
    resumes a run calls this with the same arguments. The settings stay until the process ends. On a GPU, cuDNN tries
    which algorithms are fastest, and bits differ between runs, unless results are to be `deterministic`. LthError for
    more threads than the operating system can start.
    """

    check_threads(threads)
    torch.set_num_threads(threads)
    # Processors are slow with numbers below 1e-38, as some of Adam's moments: 1.97 ms for a step of LeNet, not 1.33.
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    if device.type == 'cuda':
        with explain_failures(device, 'starting'):
            torch.cuda.set_device(device)
        _select_algorithms(deterministic=deterministic)


def make_deterministic(device: torch.device) -> None:
    """Let training and measuring repeat bit for bit on the same GPU and with the same versions. On a CPU they do."""

    if device.type == 'cuda':
        _select_algorithms(deterministic=True)


def check_threads(threads: int) -> None:
    """LthError for too many threads. More than cores are slow, but repeat a run of a larger machine; tens of thousands
    cannot be started.
    """

    cores = os.cpu_count() or 1
    largest = max(64, 4 * cores)
    if threads > largest:
        raise LthError(f'--threads: {threads:,} is too large. This machine has {cores} cores: give at most {largest}.')


def _select_algorithms(*, deterministic: bool) -> None:
    """Set which algorithms of cuDNN, cuBLAS and torch may be used on GPUs."""

    # On one H100, autotuning shortens a compiled step of ResNet-20 from 1.87 to 1.46 ms.
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    if deterministic:
        # Read when the process first uses cuBLAS: two buffers of 4 MiB per stream, with which its results repeat.
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        # By default, deterministic algorithms also fill new tensors; the engines read only what they have written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if torch.are_deterministic_algorithms_enabled() != deterministic:
        torch.use_deterministic_algorithms(deterministic)


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for reuse: page faults were a third of the time of measuring Conv-2."""

    libc = ctypes.CDLL(None)
    if hasattr(libc, 'mallopt'):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
