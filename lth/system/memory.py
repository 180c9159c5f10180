"""How much memory this process holds, and has held."""
import contextlib
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch


def peak_memory() -> float:
    """The most memory that this process has held, in MiB, on the GPU as well if it was used."""

    unit = 1 if sys.platform == 'darwin' else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return (resident + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)) / 2 ** 20


@contextlib.contextmanager
def measure_peak() -> Iterator[Callable[[], float | None]]:
    """What gives the MiB that a block held at its peak beyond what was held before it; None where the system does not
    tell (elsewhere than on Linux).
    """

    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5', encoding='ascii')  # forgets the peak so far
    before = _resident_bytes('VmRSS')
    yield lambda: None if before is None else (_resident_bytes('VmHWM') or 0.) - before


def _resident_bytes(what: str) -> float | None:
    try:
        lines = Path('/proc/self/status').read_text(encoding='ascii').splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))
