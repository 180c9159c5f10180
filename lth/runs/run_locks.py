"""The locks of a run: `seed-S/lock` while a command trains seed S, `.lock` for moments while recipe.yaml is written.

Commands that train other seeds of the same run work at the same time.
"""
import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from lth.runs import seed_folders
from lth.system import file_lock

LOCK = 'lock'
_REMEDY = 'Wait until it ends or stop it; or choose other seeds with --seeds, or another folder with --run.'


@contextlib.contextmanager
def hold_seeds(run: Path, seeds: Collection[int]) -> Iterator[None]:
    """Hold the locks of these seeds of the run folder during the block. LthError if another process has one of them."""

    with contextlib.ExitStack() as locks:
        for seed in sorted(seeds):
            locks.enter_context(file_lock.hold(lock_file(run, seed), _REMEDY))
        yield


@contextlib.contextmanager
def hold_recipe(run: Path) -> Iterator[None]:
    """Hold the lock of recipe.yaml in the run folder during a block that takes moments."""

    with file_lock.hold_briefly(run / file_lock.LOCK_NAME):
        yield


def seeds_in_training(run: Path) -> dict[int, str]:
    """The seeds that a process trains now, with that process in words."""

    holders = {}
    for seed, folder in seed_folders.seed_folders(run).items():
        if holder := file_lock.holder(folder / LOCK):
            holders[seed] = holder
    return holders


def lock_file(run: Path, seed: int) -> Path:
    """The file that locks a seed of the run folder."""

    return seed_folders.seed_folder(run, seed) / LOCK
