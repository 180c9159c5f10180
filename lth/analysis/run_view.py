"""A run with the runs that start from it, from their files alone: what `lth show run` shows."""
import glob
import itertools
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.errors import LthError
from lth.experiments import folders
from lth.runs.run_path import RunPath, runs_in
from lth.runs.stored_run import StoredRun
from lth.system import launch
from lth.system.yaml_text import Raw


@dataclass(frozen=True)
class RunView:
    """A run and these seeds of it; all draws of its controls by name; the run that finetuned its last round; the other
    folders with results that start from it; and sentences about what is left out, and about what is missing of the run.
    """

    run: StoredRun
    seeds: list[int]
    controls: dict[str, list[StoredRun]]
    finetuned: StoredRun | None
    derived: list[Path]
    left_out: list[str]
    unfinished: list[str]


def view_run(path: RunPath) -> RunView:
    """The run at a path, of all seeds or the one that the path names. LthError if it has no completed round, or if one
    of its files is damaged; damaged or replaced runs that start from it are left out.
    """

    run = StoredRun.open(path.folder)
    seeds = [seed for seed in run.seeds() if path.seed in (None, seed)]
    _refuse_missing(path, run, seeds)
    left_out = _source_note(run)
    controls = _controls(run, left_out)
    derived = _derived_runs(run, left_out)
    last = min(map(run.round_count, seeds)) - 1
    names = [folders.sibling_folder(path.folder, f'finetuned{end}') for end in (f'-round-{last:02d}', '')]
    finetuned = next((one for one in derived if one.folder in names and one.source_round(0) == last), None)
    return RunView(run, seeds, controls, finetuned, _top_folders(derived, path.folder), left_out,
                   _unfinished(run, seeds))


def _refuse_missing(path: RunPath, run: StoredRun, seeds: list[int]) -> None:
    """LthError if the run lacks the seed or the round of the path."""

    if not seeds:
        of_seed = '' if path.seed is None else f' of seed {path.seed}'
        raise LthError(f'{path.folder} has no completed round{of_seed} yet. {resume_sentence(run)}')
    if path.round is not None and run.round_count(seeds[0]) <= path.round:
        raise LthError(f'{path.folder} has no round {path.round} of seed {seeds[0]}. {resume_sentence(run)}')


def resume_sentence(run: StoredRun) -> str:
    """How to resume a run, by the command line of its last session."""

    command = last_command(run.sessions)
    if not command:
        return 'To resume, repeat the command or the call that started it.'
    directory = run.sessions[-1].get('directory')
    where = '' if directory in (None, os.getcwd()) else f' in {directory}'
    return f'To resume, run{where}: {shlex.join(command)}'


def last_command(sessions: Sequence[Raw]) -> list[str]:
    """The command line of the last of these sessions, with torchrun if that started it, [] if a program did."""

    command = (sessions[-1].get('command') if sessions else None) or []
    if not command or Path(command[0]).name not in ('lth', '__main__.py'):
        return []
    ranks = sessions[-1].get('ranks', 1)
    return [*(launch.torchrun(ranks) if ranks > 1 else []), 'lth', *command[1:]]


def _controls(run: StoredRun, left_out: list[str]) -> dict[str, list[StoredRun]]:
    """All draws of the controls of the run by name, without those that are damaged or start from replaced tickets."""

    controls: dict[str, list[StoredRun]] = {}
    for folder in runs_in(folders.controls_folder(run.folder)):
        try:
            control = StoredRun.open(folder)
            # The random tickets of a transfer start from the run whose tickets are transferred.
            if _starts_from_present(control, left_out):
                name = control.recipe['algorithm'].get('control', control.folder.name)
                controls.setdefault(str(name), []).append(control)
        except LthError as error:
            left_out.append(f'{folder} is left out: {error}')
    for draws in controls.values():
        draws.sort(key=_draw)
    return controls


def _derived_runs(run: StoredRun, left_out: list[str]) -> list[StoredRun]:
    """The other runs next to the run that start from its present tickets, also in folders such as RUN-checks."""

    parent, name = run.folder.parent, glob.escape(run.folder.name)
    found = list[StoredRun]()
    for folder in sorted(itertools.chain(runs_in(parent), *map(runs_in, parent.glob(f'{name}-*')))):
        if folder.parent == folders.controls_folder(run.folder):
            continue
        try:
            derived = StoredRun.open(folder)
            source = derived.source_folder
            if source and source.resolve() == run.folder.resolve() and _starts_from_present(derived, left_out):
                found.append(derived)
        except LthError as error:
            if folder.as_posix().startswith(f'{run.folder.as_posix()}-'):
                left_out.append(f'{folder} is left out: {error}')
    return found


def _starts_from_present(run: StoredRun, left_out: list[str]) -> bool:
    """Whether the run starts from the tickets that its source has now; if not, `left_out` gets a sentence."""

    source = run.source_folder
    if source is None or not (source / 'recipe.yaml').exists() or run.starts_from(StoredRun.open(source)):
        return True
    left_out.append(f'{run.folder} is left out: it was trained from other tickets than those that are now in {source}')
    return False


def _draw(run: StoredRun) -> int:
    draw = run.recipe['algorithm'].get('draw', 1)
    return draw if isinstance(draw, int) else 1


def _top_folders(runs: list[StoredRun], folder: Path) -> list[Path]:
    """The folders next to the run in which these runs lie, and that of its stability."""

    found = {run.folder if run.folder.parent == folder.parent else run.folder.parent for run in runs}
    stability = folders.sibling_folder(folder, 'stability')
    return sorted(found | {stability} if stability.is_dir() else found)


def _source_note(run: StoredRun) -> list[str]:
    """A sentence if the run itself starts from tickets that its source no longer has."""

    replaced: list[str] = []
    if _starts_from_present(run, replaced):
        return []
    return [f'{run.folder} was trained from other tickets than those that are now in {run.source_folder}']


def _unfinished(run: StoredRun, seeds: list[int]) -> list[str]:
    """A sentence for each seed that lacks rounds, and how to resume."""

    planned = run.planned_rounds or 0
    lacking = [seed for seed in {*seeds, *run.requested_seeds} if run.round_count(seed) < planned]
    sentences = [f'Seed {seed} has {run.round_count(seed)} of {planned} rounds.' for seed in sorted(lacking)]
    return [*sentences, resume_sentence(run)] if sentences else []
