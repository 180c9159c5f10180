"""Settings of the process that make training fast and repeatable. Nothing else in the package changes them."""
import ctypes

import torch

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def configure_process(*, threads: int, device: torch.device) -> None:
    """Set torch's number of CPU threads, flush denormal numbers to zero, keep freed memory, and select the GPU.

    The bits of a result depend on the number of threads and on the handling of denormal numbers, so every process that
    continues a run calls this with the same arguments. It is not undone: a library that must not change the process of
    its caller trains without it.
    """

    torch.set_num_threads(threads)
    # Adam's moments sink below 1e-38, where processors are slow: 1.97 ms for LeNet's step after 3,000, not 1.33.
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    if device.type == 'cuda':
        torch.cuda.set_device(device)


def _keep_freed_memory() -> None:
    """Let glibc reuse freed memory, not return it: page faults were a third of the time of measuring Conv-2."""

    libc = ctypes.CDLL(None)
    if hasattr(libc, 'mallopt'):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
