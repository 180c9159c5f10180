"""Names of run folders: the default of a search, and the folders of the runs derived from it, which lie next to it."""
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lth.errors import LthError, quote
from lth.runs import run_source
from lth.runs.run_path import RunPath

if TYPE_CHECKING:
    from lth.experiments.plan import Plan


def run_folder(name: str | None, default: str) -> Path:
    """The folder of a run called `name`, or `default` for None: a plain name lies in ./runs, a path is taken as it is.
    """

    name = file_name(default) if name is None else name
    if not name.strip():
        raise LthError('The name of the run is empty. Give a name, which will lie in ./runs, or a path.')
    if '\0' in name:
        raise LthError(f'{quote(name)} has a zero byte, so it is not the name of a folder. Give another name.')
    # Normalized, since a in a/../b need not exist.
    return Path(os.path.normpath(name)) if '/' in name or name in ('.', '..') else Path('runs') / name


def search_name(plan: 'Plan') -> str:
    """Default name of a run: MODEL-DATASET; for a gem or a sparse training also its algorithm and the percentage of
    weights kept.
    """

    pair = f'{plan.recipe.model.name}-{plan.recipe.data.name}'
    if plan.recipe.algorithm.finds not in ('gems', 'sparse networks'):
        return pair
    settings = plan.recipe.algorithm
    density = getattr(settings, 'density', plan.kept[-1] / plan.network.layout.prunable_count)
    return f'{pair}-{settings.short_name}-{100 * density:.6g}'


def file_name(name: str) -> str:
    """The name with every character replaced that a file name should not have, such as those of user code."""

    return re.sub(r'[^\w.-]+', '-', name)


def derived_folder(path: RunPath, number: int, suffix: str) -> Path:
    """RUN-SUFFIX-round-NN, the folder of a run that starts from round `number` of the run at this path, with the seed
    if the path names one. Earlier versions left the round out if it was the last one: such a folder is taken if its
    recipe names the round.
    """

    seed = '' if path.seed is None else f'-seed-{path.seed}'
    folder = sibling_folder(path.folder, f'{suffix}{seed}-round-{number:02d}')
    without_round = sibling_folder(path.folder, f'{suffix}{seed}')
    return without_round if not folder.exists() and _starts_from(without_round, number) else folder


def sibling_folder(folder: Path, suffix: str) -> Path:
    """FOLDER-SUFFIX, next to the folder, also where that is '.'."""

    folder = folder if folder.name.strip('.') else folder.resolve()
    return folder.with_name(f'{folder.name}-{suffix}')


def control_folder(folder: Path, control: str, draw: int = 1) -> Path:
    """The folder of a control of the run in `folder`: FOLDER-controls/CONTROL, with the number of a further draw."""

    return controls_folder(folder) / (control if draw == 1 else f'{control}-{draw}')


def controls_folder(folder: Path) -> Path:
    """FOLDER-controls, the folder with all controls of the run in `folder`."""

    return Path(f'{folder}-controls')


def _starts_from(folder: Path, number: int) -> bool:
    """Whether the run in the folder, or the sanity checks in it, start from this round of another run."""

    settings = run_source.algorithm_settings(folder) or run_source.algorithm_settings(folder / 'original')
    rounds = settings.get('rounds')
    return number == (rounds[-1] if isinstance(rounds, list) and rounds else settings.get('round'))
