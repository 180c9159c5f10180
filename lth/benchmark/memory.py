"""The most memory that this process has held."""
import resource
import sys

import torch


def peak_memory() -> float:
    """MiB, on the GPU as well if it was used."""

    unit = 1 if sys.platform == 'darwin' else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return (resident + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)) / 2 ** 20
