"""What the path of a run names: the run, one of its seeds, or one round of a seed. It is found without torch, so that a
mistyped path is reported at once.
"""
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lth.errors import LthError, quote, shorten_words
from lth.runs import sweep_folder
from lth.system import lazy_import

if TYPE_CHECKING:
    from lth.runs import sweep_file
else:
    sweep_file = lazy_import.module('lth.runs.sweep_file')

# As many runs are named in an error.
_MOST_NAMES = 5


class RunPath(NamedTuple):
    """A path to a run, to one of its seeds (RUN/seed-S) or to one round of a seed (RUN/seed-S/round-NN)."""

    folder: Path
    seed: int | None = None
    round: int | None = None


def parse_run_path(path: str) -> RunPath:
    """The run, seed and round that a path names; a relative path is also looked up in ./runs."""

    if not path:
        raise LthError('RUN is empty. Give a run folder, or a name in ./runs.')
    for full in (Path(path), Path('runs') / path):
        for folder in (full, *full.parents[:2]):
            below = full.relative_to(folder).as_posix()
            match = re.fullmatch(r'\.|seed-(\d+)(?:/round-(\d+))?', below)
            if match and (folder / 'recipe.yaml').is_file():
                seed, number = match.groups()
                return RunPath(folder, _integer(seed), _integer(number))
    for folder in (Path(path), Path('runs') / path):
        held, run = _names_of_runs(folder), _measured_run(folder)
        if run:
            others = f', or one of the runs in it: {held}' if held else ''
            raise LthError(f'{quote(path)} is not a run: it holds what was measured of the run {run}, or trained from '
                           f'it. Give {run}, with which commands such as plot and report show it{others}.')
        if held:
            raise LthError(f'{quote(path)} is not a run, but it holds runs: {held}. Give one of them.')
    raise LthError(f'{quote(path)} is not a run. Give a run folder (one with a recipe.yaml), RUN/seed-S or '
                   'RUN/seed-S/round-NN; relative names are also looked up in ./runs.')


def parse_run_paths(paths: Sequence[str]) -> list[RunPath]:
    """What the paths name, with the runs of all its cells for the folder of a sweep, as far as they were started."""

    return [path for text in paths for path in _cells(text) or [parse_run_path(text)]]


def _cells(path: str) -> list[RunPath]:
    """The runs of the sweep in a folder; [] if it is not the folder of a sweep."""

    for folder in (Path(path), Path('runs') / path):
        if path and sweep_folder.is_sweep(folder):
            runs = [folder / record.cell for record in sweep_file.read_sweep(folder)]
            if started := [RunPath(run) for run in runs if (run / 'recipe.yaml').is_file()]:
                return started
            raise LthError(f'No cell of the sweep {quote(path)} was started yet. Run it with lth sweep run.')
    return []


def _measured_run(folder: Path) -> Path | None:
    """RUN, if the folder is RUN-checks-round-NN, RUN-controls or RUN-stability."""

    match = re.fullmatch(r'(.+)-(?:checks(?:-seed-\d+)?(?:-round-\d+)?|controls|stability)', folder.name)
    run = folder.with_name(match[1]) if match else None
    return run if run and os.path.isdir(folder) and os.path.isfile(run / 'recipe.yaml') else None


def runs_in(folder: Path) -> list[Path]:
    """The folders with a recipe.yaml in a folder, sorted."""

    return sorted(recipe.parent for recipe in folder.glob('*/recipe.yaml'))


def runs_below(folder: Path) -> list[Path]:
    """The folders with a recipe.yaml in a folder, and in the folders of controls and sanity checks in it, sorted."""

    return sorted(recipe.parent for pattern in ('*', '*/*') for recipe in folder.glob(f'{pattern}/recipe.yaml'))


def _names_of_runs(folder: Path) -> str:
    """The first runs in a folder, separated by commas; '' if there are none."""

    held = list(map(str, runs_in(folder)))
    return shorten_words(', '.join(held[:_MOST_NAMES])) + (' and more' if len(held) > _MOST_NAMES else '')


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)
