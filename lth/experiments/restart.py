"""Start over: a run and all runs derived from it are moved aside together, where they can still be read."""
import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.folders import sibling_folder
from lth.runs import run_locks, run_source
from lth.runs.run_path import runs_below
from lth.system import file_lock, files, yaml_text
from lth.system.yaml_text import Raw

_SECTIONS = {'model', 'data', 'training', 'algorithm'}


class _RunToMove(NamedTuple):
    """The folder of a run, the folder with which it is moved, and the folder of its source run, None for a search."""

    folder: Path
    unit: Path
    source: Path | None


def set_aside(run: Path, on_message: Callable[[str], None]) -> None:
    """Move the run in this folder, and the runs next to it that are derived from it, to RUN-set-aside-TIME, and report
    what was moved. The folder may also hold sanity checks; without any of these, nothing is done. LthError if a command
    is training one of these runs.
    """

    folder = Path(os.path.abspath(run))
    runs = list(_movable_runs(folder.parent))
    units = _units_to_move(folder, runs)
    if not units:
        return
    if Path.cwd().is_relative_to(folder.resolve()):
        raise LthError(f'--restart moves {folder}, which is the current folder. Change to another folder first.')
    now = datetime.now(UTC)
    destination = sibling_folder(folder, f'set-aside-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z')
    with contextlib.ExitStack() as locks:
        for one in runs:
            if one.unit in units:
                locks.enter_context(run_locks.hold_recipe(one.folder))
                _refuse_running(one.folder)
        _move(units, folder.parent, destination)
    names = ', '.join(str(unit.relative_to(folder.parent)) for unit in units[::-1])
    on_message(f'Moved to {sibling_folder(run, destination.name.removeprefix(f"{folder.name}-"))}: {names}.')


def _units_to_move(folder: Path, runs: list[_RunToMove]) -> list[Path]:
    """The folders to move, those of derived runs before the runs that they start from: a restart that is interrupted
    can be repeated.
    """

    units = [path for path in (folder, *_named_siblings(folder)) if _is_unit(path, runs)]
    sources = [folder, *units]
    while derived := [run for run in runs if run.unit not in units and run.source in sources]:
        units += dict.fromkeys(run.unit for run in derived)
        sources += [run.folder for run in runs if run.unit in units]
    return units[::-1]


def _movable_runs(parent: Path) -> Iterator[_RunToMove]:
    """The runs in a folder, and in the folders of controls and sanity checks in it."""

    for folder in runs_below(parent):
        content = _read(folder / 'recipe.yaml')
        settings = content.get('algorithm')
        # A recipe that the user wrote is not a run, but a run may have a damaged recipe.
        if not _SECTIONS <= set(content) and not any(folder.glob('seed-*')):
            continue
        unit = folder.parent if folder.parent != parent and _is_collection(folder.parent) else folder
        source = run_source.source_folder(folder, settings) if isinstance(settings, dict) else None
        yield _RunToMove(folder, unit, source)


def _read(recipe: Path) -> Raw:
    """The content of a recipe. One that cannot be read counts as that of a search, so that its folder can be moved."""

    try:
        return yaml_text.read_yaml(recipe)
    except LthError:
        return dict.fromkeys(_SECTIONS)


def _is_collection(folder: Path) -> bool:
    """Whether a folder holds controls or sanity checks, which are moved together."""

    names = ('checks.json', 'original/recipe.yaml')
    return folder.name.endswith('-controls') or any((folder / name).exists() for name in names)


def _is_unit(folder: Path, runs: list[_RunToMove]) -> bool:
    """Whether a folder is something that lth wrote: a run, a collection of runs, or measurements of stability."""

    return any(folder == run.unit for run in runs) or (folder.name.endswith('-stability') and folder.is_dir())


def _named_siblings(folder: Path) -> list[Path]:
    """The folders next to a run that belong to it by their names."""

    return [sibling_folder(folder, suffix) for suffix in ('controls', 'stability')]


def _refuse_running(run: Path) -> None:
    for seed, holder in run_locks.seeds_in_training(run).items():
        raise LthError(f'{run} cannot be moved aside: seed {seed} is being trained by {holder}. Wait until it ends or '
                       'stop it, or choose another folder with --run.', exit_code=ENVIRONMENT_ERROR)


def _move(units: list[Path], parent: Path, destination: Path) -> None:
    """Move the folders to the same relative paths below the destination, so that they still find each other."""

    try:
        for unit in units:
            files.move(unit, destination / unit.relative_to(parent))
        for lock in destination.rglob(file_lock.LOCK_NAME):
            lock.unlink()
    except OSError as error:
        raise files.write_error(destination, error) from None
