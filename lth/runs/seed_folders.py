"""The folders of the seeds of a run and of their rounds: RUN/seed-S and RUN/seed-S/round-NN, and what lies in them."""
import os
import re
from pathlib import Path

from lth.errors import LthError
from lth.runs import integrity

# Without leading zeros: seed-07 is not the folder of seed 7.
_NAME = re.compile(r'seed-(0|[1-9]\d{0,17})', re.ASCII)


def seed_folder(run: Path, seed: int) -> Path:
    """The folder of a seed."""

    return run / f'seed-{seed}'


def round_folder(run: Path, seed: int, number: int) -> Path:
    """The folder of a round of a seed."""

    return seed_folder(run, seed) / f'round-{number:02d}'


def checkpoint_folder(run: Path, seed: int) -> Path:
    """The folder of the checkpoints of a seed's round in progress."""

    return seed_folder(run, seed) / 'checkpoint'


def incomplete_files(run: Path, seed: int) -> list[Path]:
    """Incomplete files and folders of a seed, which a session leaves that is killed while it writes them. Those inside
    of an incomplete folder are left out.
    """

    folder = seed_folder(run, seed)
    inside = [path for below in ('round-*', 'checkpoint') for path in folder.glob(f'{below}/*.partial')]
    return sorted([*folder.glob('*.partial'), *(path for path in inside if path.parent.suffix != '.partial')])


def is_name_of_seed(path: Path) -> bool:
    """Whether the folder of a seed could have this name."""

    return bool(_NAME.fullmatch(path.name))


def is_seed_folder(path: Path) -> bool:
    """Whether a path is the folder of a seed."""

    return is_name_of_seed(path) and path.is_dir()


def seed_folders(run: Path) -> dict[int, Path]:
    """The folders of all seeds in ascending order, also those without a round."""

    folders = filter(is_seed_folder, run.glob('seed-*'))
    return dict(sorted((int(folder.name.removeprefix('seed-')), folder) for folder in folders))


def seeds_with_rounds(run: Path) -> list[int]:
    """The seeds with at least one completed round, in ascending order. LthError as from `round_count`."""

    return [seed for seed in seed_folders(run) if round_count(run, seed)]


def round_count(run: Path, seed: int) -> int:
    """Number of completed rounds of a seed, from round 0 to the first that is missing. LthError if something else than
    a folder has the name of a round.
    """

    number = 0
    while (folder := round_folder(run, seed, number)).is_dir():
        number += 1
    if os.path.lexists(folder):
        raise LthError(f'{folder} is not a folder. {integrity.repair_advice(run)}')
    return number
