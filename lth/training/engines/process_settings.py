"""Settings of the process that make training fast and repeatable. Nothing else in the package changes them."""
import ctypes

import torch

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def configure_process(*, threads: int, device: torch.device) -> None:
    """Set torch's number of CPU threads, flush denormal numbers to zero, keep freed memory, and select the GPU.

    The bits of a result depend on the number of threads and on the handling of denormal numbers, so every process that
    resumes a run calls this with the same arguments. The settings stay until the process ends.
    """

    torch.set_num_threads(threads)
    # Processors are slow with numbers below 1e-38, as some of Adam's moments: 1.97 ms for a step of LeNet, not 1.33.
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    if device.type == 'cuda':
        torch.cuda.set_device(device)


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for reuse: page faults were a third of the time of measuring Conv-2."""

    libc = ctypes.CDLL(None)
    if hasattr(libc, 'mallopt'):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
