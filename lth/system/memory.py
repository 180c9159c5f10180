"""Memory: of this machine, and of this process, now and at its peak."""
import contextlib
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lth.system import lazy_import

torch = lazy_import.module('torch')

_CONTROL_GROUP = Path('/sys/fs/cgroup')


def total_memory() -> int:
    """Memory of this machine in bytes."""

    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def available_memory() -> int:
    """Memory in bytes that this process can use: that of the machine, or of its control group if this has less."""

    return min([total_memory(), *_group_limits()])


def in_gibibytes(size: float) -> str:
    """A number of bytes for a message."""

    return f'{size / 2 ** 30:,.1f} GiB'


def peak_memory() -> float:
    """Peak memory of this process in MiB: the resident set, plus what it allocated on the GPU."""

    unit = 1 if sys.platform == 'darwin' else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return (resident + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)) / 2 ** 20


@contextlib.contextmanager
def measure_peak() -> Iterator[Callable[[], float | None]]:
    """Yield a function that returns by how many MiB the peak in this block exceeds the memory before it; None on
    systems other than Linux.
    """

    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5', encoding='ascii')  # resets the peak
    before = _resident_memory('VmRSS')
    yield lambda: None if before is None else (_resident_memory('VmHWM') or 0.) - before


def _group_limits() -> list[int]:
    """The limits of the control group, of both versions, as containers see theirs."""

    limits = []
    for name in ('memory.max', 'memory/memory.limit_in_bytes'):
        with contextlib.suppress(OSError, ValueError):  # no such version, or 'max', which is not a limit
            limits.append(int((_CONTROL_GROUP / name).read_text(encoding='ascii')))
    return limits


def _resident_memory(entry: str) -> float | None:
    """An entry of /proc/self/status in MiB: VmRSS is the current resident set, VmHWM its peak."""

    try:
        lines = Path('/proc/self/status').read_text(encoding='ascii').splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(entry))
