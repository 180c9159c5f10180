"""The recipe.yaml of a run: created before the first training, and replaced only while nothing was saved."""
import contextlib
from collections.abc import Collection, Iterator

from lth.errors import LthError
from lth.experiments.provenance import refuse_other_recipe
from lth.runs import run_locks
from lth.runs.folder import Run
from lth.system import files


@contextlib.contextmanager
def claim_recipe(run: Run, seeds: Collection[int]) -> Iterator[None]:
    """Create recipe.yaml before the block, which trains these seeds, whose locks are held. It is removed again if
    nothing was saved. LthError if the folder holds a run of another recipe.
    """

    with run_locks.hold_recipe(run.folder):
        check_recipe(run, seeds)
        if _is_unused(run, seeds):
            files.write(run.recipe_file, files.dump_yaml(run.recipe).encode())
    try:
        yield
    finally:
        with contextlib.suppress(LthError):
            if run.is_unused():
                _remove_recipe(run, seeds)


def check_recipe(run: Run, seeds: Collection[int] = ()) -> None:
    """LthError if the folder holds a run of another recipe; `seeds` are those whose locks this process holds. A folder
    in which no round was completed and no process works is no run yet.
    """

    if run.stored_recipe() is not None and not _is_unused(run, seeds):
        refuse_other_recipe(run)


def _remove_recipe(run: Run, seeds: Collection[int]) -> None:
    with run_locks.hold_recipe(run.folder):
        if _is_unused(run, seeds):
            run.recipe_file.unlink(missing_ok=True)


def _is_unused(run: Run, seeds: Collection[int]) -> bool:
    """Whether nothing was saved, and no other process trains other seeds, so that nothing will be."""

    return run.is_unused() and not run_locks.seeds_in_training(run.folder).keys() - set(seeds)
