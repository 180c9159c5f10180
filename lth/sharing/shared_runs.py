"""The runs that are shared with a run: those that start from it, as far as they lie next to it."""
import os
from pathlib import Path
from typing import NamedTuple

from lth.analysis import repair, run_list
from lth.errors import LthError
from lth.experiments import folders
from lth.runs import integrity, run_source
from lth.runs.run_path import runs_below
from lth.runs.stored_run import StoredRun
from lth.sharing import manifest


class SharedRuns(NamedTuple):
    """The folders of the runs, the first being the one that is shared, below `parent`; and sentences about those that
    are left out.
    """

    parent: Path
    folders: list[Path]
    left_out: list[str]

    def name(self, folder: Path) -> str:
        """The path of a run in the repository, such as 'demo-controls/reinit'."""

        return folder.relative_to(self.parent).as_posix()


def shared_runs(run: Path, *, unfinished: bool) -> SharedRuns:
    """The run in the folder, and all runs that start from it. LthError if the run is damaged, or is not complete unless
    `unfinished`; others that are damaged or not complete are left out.
    """

    folder = Path(os.path.abspath(run))
    _refuse_unusable(folder, run, unfinished=unfinished)
    found = SharedRuns(folder.parent, [folder], [])
    if not manifest.is_run_name(folder.name):
        raise LthError(f'{folder.name!r} cannot be shared: names of runs on the Hub have letters, digits, spaces and '
                       '_.+=,@()- only. Rename its folder, and those of the runs that start from it.')
    if source := _source(folder):
        found.left_out.append(f'{source.name}, from which it starts, is not shared: to share both, push that run')
    _add_derived(found, unfinished=unfinished)
    return found


def _add_derived(found: SharedRuns, *, unfinished: bool) -> None:
    """Add the runs that start from those that were found, directly or through others."""

    waiting = runs_below(found.parent)
    while derived := [path for path in waiting if _source(path) in found.folders and path not in found.folders]:
        waiting = [path for path in waiting if path not in derived]
        for path in derived:
            if reason := _unusable(path, unfinished=unfinished):
                found.left_out.append(f'{found.name(path)} is left out: {reason}')
            else:
                found.folders.append(path)
    controls = folders.controls_folder(found.folders[0])
    found.left_out.extend(f'{found.name(path)} is left out: it starts from {_source(path)}'
                          for path in filter(lambda path: path.parent == controls, waiting))


def _source(folder: Path) -> Path | None:
    return run_source.source_folder(folder, run_source.algorithm_settings(folder))


def _refuse_unusable(folder: Path, shown: Path, *, unfinished: bool) -> None:
    """LthError if the run that is to be shared is damaged or not complete."""

    state, detail = _state(folder)
    if state == 'damaged' or not StoredRun.open(folder).seeds():
        raise LthError(f'{shown} cannot be shared: {detail or "it has no completed round"}')
    if state in ('unfinished', 'in training') and not unfinished:
        words = 'is being trained' if state == 'in training' else 'is not complete'
        raise LthError(f'{shown} {words}: lth show run {shown} says what is missing. Resume it first, or share the '
                       'rounds that it has with --unfinished (in Python: unfinished=True).')
    if damage := _damage(folder):
        raise LthError(f'{shown} cannot be shared: {damage} {integrity.repair_advice(shown)}.')


def _unusable(folder: Path, *, unfinished: bool) -> str:
    """Why a run that starts from the shared one is left out, '' if it is not."""

    state, detail = _state(folder)
    try:
        stored = StoredRun.open(folder)
        source = stored.source_folder
        if not stored.seeds():
            return 'it has no completed round'
        if source is not None and not stored.starts_from(StoredRun.open(source)):
            return 'it was trained from other tickets than those that its source has now'
    except LthError as error:
        return str(error)
    if state in ('unfinished', 'in training') and not unfinished:
        return 'it is not complete'
    if not all(map(manifest.is_run_name, folder.relative_to(folder.parents[1]).parts)):
        return 'of its name'
    return detail if state == 'damaged' else _damage(folder)


def _state(folder: Path) -> tuple[run_list.State, str]:
    listed = run_list.list_run(folder)
    return listed.state, listed.detail


def _damage(folder: Path) -> str:
    """The first damage that the files of a run show, also against its network if this can be built; '' for none."""

    damaged = repair.find_damage(folder).damaged
    return damaged[0].problem if damaged else ''
