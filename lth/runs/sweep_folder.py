"""The files in the folder of a sweep. Nothing of pydantic or torch is imported, so that paths are checked at once."""
import os
from pathlib import Path

SWEEP, GRID, _LOCK = 'sweep.json', 'grid.yaml', 'lock'


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""

    return os.path.isfile(folder / SWEEP)  # unlike Path.is_file, for names of any length


def lock_file(folder: Path) -> Path:
    """The file that locks the folder of a sweep while a process runs it."""

    return folder / _LOCK
