"""The recipe.yaml of a run: created before the first training, replaced while nothing was saved, and rewritten when
rounds are added after the last one.
"""
import contextlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from lth.errors import LthError
from lth.experiments.plan import Plan
from lth.experiments.provenance import refuse_other_recipe
from lth.runs import run_locks, sessions
from lth.runs.folder import Run
from lth.system import files, yaml_text
from lth.system.yaml_text import Raw


@contextlib.contextmanager
def claim_recipe(plan: Plan, run: Run, seeds: Collection[int]) -> Iterator[None]:
    """Create recipe.yaml before the block, which trains these seeds, whose locks are held; or let it say how many
    rounds the run gets. It is removed again if nothing was saved. LthError if the folder holds a run of another recipe.
    """

    with run_locks.hold_recipe(run.folder):
        remove_partial_files(run, seeds)
        added = added_rounds(plan, run, seeds)
        if _is_unused(run, seeds):
            _write(run, run.recipe)
        elif added:
            _write(run, _longer_recipe(plan, run))
    try:
        yield
    finally:
        with contextlib.suppress(LthError):
            if run.is_unused():
                _remove_recipe(run, seeds)


def added_rounds(plan: Plan, run: Run, seeds: Collection[int] = ()) -> range:
    """The numbers of the rounds that the plan adds after the last one of the run in the folder, whose recipe is the
    same otherwise. LthError if it is another one, or has more rounds. A folder in which nothing was saved, and where no
    process works, is not a run yet. `seeds` are those whose locks this process holds.
    """

    stored = run.stored_recipe()
    if stored is None or _is_unused(run, seeds):
        return range(0)
    count = _round_count(plan, stored)
    if count is None or count == len(plan.kept):
        refuse_other_recipe(run)
        return range(0)
    # Compared as if the run had as many rounds.
    ladder = plan.recipe.algorithm.ladder
    algorithm = run.recipe['algorithm'] | {ladder: stored['algorithm'][ladder]}
    refuse_other_recipe(replace(run, recipe=run.recipe | {'algorithm': algorithm}))
    _refuse_other_length(plan, run, count)
    return range(count, len(plan.kept))


def remove_partial_files(run: Run, seeds: Collection[int]) -> None:
    """Delete the incomplete files outside of seeds that a killed session left; the lock of the recipe is held. Files of
    sessions are left alone while another process trains seeds other than these.
    """

    for path in partial_files(run):
        if path.parent == run.folder or not _other_seeds_in_training(run, seeds):
            path.unlink(missing_ok=True)


def partial_files(run: Run) -> list[Path]:
    """The incomplete files outside of seeds."""

    return [*run.folder.glob('*.partial'), *run.folder.glob(f'{sessions.FOLDER}/*.partial')]


def _round_count(plan: Plan, stored: Raw) -> int | None:
    """How many rounds the stored recipe has; None if the settings do not say, or no rounds can be added to them."""

    algorithm = stored.get('algorithm')
    value = algorithm.get(plan.recipe.algorithm.ladder) if isinstance(algorithm, dict) else None
    if isinstance(value, list):
        same = value[:len(plan.kept)] == plan.kept[:len(value)]
        return len(value) if same else None
    return value + 1 if isinstance(value, int) else None


def _refuse_other_length(plan: Plan, run: Run, count: int) -> None:
    """LthError if the run has more rounds than the plan, or cannot have more."""

    wanted, last = len(plan.kept) - 1, count - 1
    if obstacle := plan.recipe.algorithm.ladder_obstacle:
        raise LthError(f'{run.folder} has the rounds 0 to {last}, and this command asks for the rounds 0 to {wanted}. '
                       f'The number of its rounds cannot change, as {obstacle}. Choose another folder with --run, or '
                       'start over with --restart, which moves that run aside.')
    if wanted < last:
        raise LthError(f'{run.folder} has the rounds 0 to {last}, and this command asks for the rounds 0 to {wanted}, '
                       f'which are among them. Prune {last} times or more (-i {last}), choose another folder with '
                       '--run, or start over with --restart, which moves that run aside.')


def _longer_recipe(plan: Plan, run: Run) -> Raw:
    """The stored recipe with the rounds of the plan. It keeps all other settings, of which its rounds have a digest."""

    stored, ladder = run.stored_recipe() or run.recipe, plan.recipe.algorithm.ladder
    longer = stored['algorithm'] | {ladder: run.recipe['algorithm'][ladder]}
    return stored | {'source': run.recipe['source'], 'algorithm': longer}


def _write(run: Run, recipe: Raw) -> None:
    files.write(run.recipe_file, yaml_text.dump_yaml(recipe).encode())


def _remove_recipe(run: Run, seeds: Collection[int]) -> None:
    with run_locks.hold_recipe(run.folder):
        if _is_unused(run, seeds):
            run.recipe_file.unlink(missing_ok=True)


def _is_unused(run: Run, seeds: Collection[int]) -> bool:
    """Whether nothing was saved, and no other process trains other seeds, so that nothing will be."""

    return run.is_unused() and not _other_seeds_in_training(run, seeds)


def _other_seeds_in_training(run: Run, seeds: Collection[int]) -> bool:
    return bool(run_locks.seeds_in_training(run.folder).keys() - set(seeds))
