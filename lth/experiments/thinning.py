"""--keep: which weights of a run stay on disk when everything that a command was asked for is complete.

Masks, measurements and records of all rounds stay, and all files of the first and the last round, from which a longer
run continues.
"""
from collections.abc import Iterable, Sequence
from typing import Literal

from lth.runs import run_locks
from lth.runs.folder import Run

Keep = Literal['all', 'last', 'tickets']


def thin_runs(runs: Iterable[Run], seeds: Sequence[int], keep: Keep) -> None:
    """Remove weights of the rounds between the first and the last of these seeds of each run: `tickets` removes what
    was trained, `last` the tickets as well, `all` nothing. An interrupted call can be repeated.
    """

    if keep != 'all':
        for run in runs:
            _thin(run, seeds, keep)


def _thin(run: Run, seeds: Sequence[int], keep: Literal['last', 'tickets']) -> None:
    with run_locks.hold_seeds(run.folder, seeds):
        for seed in seeds:
            for number in range(1, run.round_count(seed) - 1):
                run.thin(seed, number, keep)
