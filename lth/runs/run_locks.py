"""The locks of a run: `seed-S/lock` while a command trains seed S, `.lock` for moments while recipe.yaml is written.

Commands that train other seeds of the same run work at the same time.
"""
import contextlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path

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
    for path in sorted(run.glob(f'seed-*/{LOCK}')):
        match = re.fullmatch(r'seed-(\d+)', path.parent.name)
        if match and (holder := file_lock.holder(path)):
            holders[int(match[1])] = holder
    return holders


def lock_file(run: Path, seed: int) -> Path:
    """The file that locks a seed of the run folder."""

    return run / f'seed-{seed}' / LOCK
