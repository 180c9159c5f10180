"""Repair of a run: find its damaged files, and move them away so that the search computes them again.

A damaged round is moved with all later ones of its seed, since these depend on it, and with those before it without
which it cannot be computed, since --keep removed their weights. Nothing is deleted.
"""
import glob
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lth.analysis import checks_file
from lth.analysis.alignment_files import ALIGNMENTS
from lth.analysis.json_output.repairs import Damage, RepairReport
from lth.analysis.loss_landscape.barrier_files import BARRIERS
from lth.analysis.loss_landscape.curvature_files import CURVATURES
from lth.analysis.pair_files import PAIRS
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments import folders
from lth.experiments.plan import make_plan
from lth.registry import user_code
from lth.runs import checkpoint_files, integrity, run_locks, seed_folders, sessions
from lth.runs.checkpoint_files import CheckpointFolder
from lth.runs.folder import Run
from lth.runs.round_check import check_round
from lth.system import files, yaml_text

DAMAGED = 'damaged'
# The kinds of files in RUN-stability besides pairs of copies, which all others should be.
_MEASUREMENTS = (ALIGNMENTS, BARRIERS, CURVATURES)


def repair(folder: Path) -> RepairReport:
    """Check all files of a run, and move the damaged ones to RUN/damaged/TIME. LthError if a process trains one of its
    seeds, or if its recipe.yaml was changed, without which nothing can be computed again.
    """

    with run_locks.hold_seeds(folder, seed_folders.seed_folders(folder)), run_locks.hold_recipe(folder):
        report = _check_run(folder, in_training=())
        if not report.damaged:
            return report
        moved_to = folder / DAMAGED / f'{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}'
        # The last rounds first: if this is interrupted, the earlier rounds are still without a gap.
        for damage in reversed(report.damaged):
            files.move(damage.path, moved_to / _name_in(folder, damage.path))
    return replace(report, moved_to=moved_to)


def find_damage(folder: Path) -> RepairReport:
    """Check all files of a run, and change nothing. LthError if its recipe.yaml was changed."""

    return _check_run(folder, in_training=run_locks.seeds_in_training(folder))


def _check_run(folder: Path, in_training: Collection[int]) -> RepairReport:
    run, note = _open(folder)
    if run:
        _refuse_changed_recipe(run)
    seeds, found = seed_folders.seed_folders(folder), list[Damage]()
    for seed in seeds:
        found += _damage_of_seed(folder, run, seed)
        if seed not in in_training:
            found += [Damage(path=path, problem='it is incomplete, as a killed session leaves it')
                      for path in seed_folders.incomplete_files(folder, seed)]
    for path in sessions.session_files(folder):
        found += _damage(path, partial(sessions.read_entry, advice='', recipe=run.digest if run else None))
    rounds, recorded = sum(len(_rounds(folder, seed)) for seed in seeds), len(sessions.session_files(folder))
    found += _damage_of_other_files(folder)
    return RepairReport(run=folder, seeds=len(seeds), rounds=rounds, sessions=recorded, damaged=found, moved_to=None,
                        notes=[note] if note else [])


def _open(folder: Path) -> tuple[Run | None, str]:
    """The run; None, with the reason, if its network cannot be built, for example from code that is not trusted."""

    recipe = yaml_text.read_yaml(folder / 'recipe.yaml')
    try:
        user_code.require_trust(recipe)
        plan = make_plan(recipe, str(folder / 'recipe.yaml'))
    except LthError as error:
        return None, f'files were compared with their checksums, but not with the network and the recipe: {error}'
    return plan.run(folder), ''


def _refuse_changed_recipe(run: Run) -> None:
    """LthError if no intact round records the recipe that is in recipe.yaml now."""

    digests = set()
    for seed in seed_folders.seed_folders(run.folder):
        for number, path in _rounds(run.folder, seed).items():
            try:
                digests.add(check_round(path, seed=seed, number=number, advice=''))
            except LthError:
                pass  # reported later
    recorded = digests - {None}
    if recorded and run.digest not in recorded:
        raise LthError(f'{run.recipe_file} was changed after the rounds were trained: they record another recipe. '
                       'Nothing was moved. Restore the file from a copy; or repeat the command of the search, which '
                       'lists the settings that differ, and correct these in the file.')


def _damage_of_seed(folder: Path, run: Run | None, seed: int) -> list[Damage]:
    """The damaged rounds of a seed with all later ones, the earlier ones from which these cannot be computed again, and
    the damaged checkpoints.
    """

    rounds, found, broken = _rounds(folder, seed), list[Damage](), None
    for position, (number, path) in enumerate(rounds.items()):
        if broken is not None:
            found.append(Damage(path=path, problem=f'it depends on round {broken}'))
        elif position != number:
            broken = position
            found.append(Damage(path=path, problem=f'round {position} before it is missing'))
        elif damage := _damage(path, partial(_check_round, run=run, seed=seed, number=number)):
            broken, found = number, damage
    missing = len(rounds) if broken is None else broken
    if run is None or 'source' not in run.recipe['algorithm']:
        found = _thinned_rounds(rounds, missing) + found
    for checkpoint in checkpoint_files.checkpoint_folders(seed_folders.checkpoint_folder(folder, seed)):
        if found:
            found.append(Damage(path=checkpoint.path, problem=f'it depends on round {missing}'))
        else:
            found += _damage(checkpoint.path, partial(_check_checkpoint, checkpoint=checkpoint, seed=seed))
    return found


def _thinned_rounds(rounds: Mapping[int, Path], missing: int) -> list[Damage]:
    """The rounds right before the first missing one whose weights --keep removed. It never does so in round 0."""

    first = missing
    while first > 1 and _is_thinned(rounds[first - 1]):
        first -= 1
    return [Damage(path=rounds[number], problem=f'round {missing} cannot be computed from it, as the option --keep '
                                                'removed its weights') for number in range(first, missing)]


def _is_thinned(folder: Path) -> bool:
    removals = integrity.open_folder(folder, '').removed.values()
    return any(removal.keep != integrity.UNKNOWN for removal in removals)


def _damage_of_other_files(folder: Path) -> Iterator[Damage]:
    """The damaged environment.json of version 0.1.0, reports of checks, and files of stability."""

    yield from _damage(folder / sessions.OLD_FILE, partial(sessions.read_old, advice=''))
    stability = folders.sibling_folder(folder, 'stability')
    for path in sorted(stability.glob('*.json')):
        kind = next((kind for kind in _MEASUREMENTS if path.match(kind.pattern)), PAIRS)
        yield from _damage(path, kind.check)
    prefix = stability.name.removesuffix('stability')
    for path in sorted(stability.parent.glob(f'{glob.escape(prefix)}checks*/{checks_file.CHECKS}')):
        yield from _damage(path, lambda path: checks_file.read_checks(path.parent))


def _check_round(path: Path, *, run: Run | None, seed: int, number: int) -> None:
    check_round(path, seed=seed, number=number, advice='')
    if run:
        run.check(seed, number)


def _check_checkpoint(_path: Path, *, checkpoint: CheckpointFolder, seed: int) -> None:
    checkpoint_files.check(checkpoint, seed)


def _damage(path: Path, check: Callable[[Path], object]) -> list[Damage]:
    """What the check of a file or folder finds. LthError for failures of the disk and missing permissions, of which the
    file itself may be intact.
    """

    try:
        check(path)
    except LthError as error:
        if error.exit_code == ENVIRONMENT_ERROR:
            raise
        return [Damage(path=path, problem=str(error).partition(' Restore it from a copy')[0].strip())]
    return []


def _rounds(folder: Path, seed: int) -> dict[int, Path]:
    """The rounds of a seed in order, whatever has their names."""

    paths = seed_folders.seed_folder(folder, seed).glob('round-*')
    matches = {path: re.fullmatch(r'round-(\d+)', path.name) for path in paths}
    return dict(sorted((int(match[1]), path) for path, match in matches.items() if match))


def _name_in(folder: Path, path: Path) -> Path:
    """Where a file is put below the folder of damaged files."""

    return path.relative_to(folder) if path.is_relative_to(folder) else Path(path.parent.name, path.name)
