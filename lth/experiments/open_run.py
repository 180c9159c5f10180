"""What a path names: a run, one of its seeds or one of its rounds, and the plan that the run follows."""
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lth.errors import LthError
from lth.experiments.plan import Plan, make_plan
from lth.runs import sessions
from lth.runs.folder import Run
from lth.system import files
from lth.system.files import Raw


class RunPath(NamedTuple):
    """What a path names: a run, one of its seeds, or one round of it."""

    folder: Path
    seed: int | None
    round: int | None


def parse_run_path(path: str) -> RunPath:
    """The place of RUN, RUN/seed-S or RUN/seed-S/round-NN; a bare name may lie below ./runs."""

    for start in (Path(path), Path('runs') / path):
        for parts, folder in enumerate((start, *start.parents[:2])):
            if not (folder / 'recipe.yaml').is_file():
                continue
            below = start.relative_to(folder).parts
            try:
                numbers = [int(part.removeprefix(word))
                           for part, word in zip(below, ('seed-', 'round-')) if part.startswith(word)]
            except ValueError:
                numbers = []
            if len(numbers) == parts:
                return RunPath(folder, *(numbers + [None, None])[:2])
    raise LthError(f'{path} is no run: expected a folder with a recipe.yaml, RUN, RUN/seed-S or RUN/seed-S/round-NN, '
                   'here or below ./runs.')


class SourceRound(NamedTuple):
    """A round of a run from which other runs start, for these seeds."""

    plan: Plan
    run: Run
    seeds: Sequence[int]
    number: int

    @property
    def kept(self) -> int:
        """Planned number of weights that its tickets keep; a ticket may keep fewer."""

        return self.plan.kept[self.number]


def open_source(
        path: RunPath, *, seeds: Sequence[int] | None = None, number: int | None = None,
        most_seeds: int | None = None) -> SourceRound:
    """The round that a path, or `number`, names, by default the last; of these seeds, by default that of the path or
    the first `most_seeds` of the run. LthError if a seed lacks the round.
    """

    plan, run = open_run(path)
    available = run.seeds() if path.seed is None else [path.seed]
    seeds = available[:most_seeds] if seeds is None else seeds
    if missing := sorted(set(seeds) - set(available)):
        raise LthError(f'--seeds: {run.folder} has no seed {missing[0]}; its seeds are {available}. Choose among these, '
                       'or add seeds by repeating the search with all of them.')
    return SourceRound(plan, run, seeds, select_round(plan, run, seeds, path.round, number))


def open_run(where: RunPath) -> tuple[Plan, Run]:
    """A run and the plan it follows."""

    recipe = files.read_yaml(where.folder / 'recipe.yaml')
    plan = _planned(where.folder, recipe)
    run = Run(where.folder, plan.recipe.dump(), plan.network)
    if not run.seeds():
        raise LthError(f'{where.folder} has no whole round yet: let the search finish at least one.')
    if where.seed is not None and run.round_count(where.seed) <= (where.round or 0):
        raise LthError(f'{where.folder} has no round {where.round or 0} of seed {where.seed}: its seeds are '
                       f'{run.seeds()}, and seed {where.seed} has {run.round_count(where.seed)} rounds.')
    return plan, run


def _planned(folder: Path, recipe: Raw) -> Plan:
    """The plan; names of the user's own code and folders count from where the run was begun."""

    try:
        return make_plan(recipe, str(folder / 'recipe.yaml'))
    except LthError as error:
        places = [session['directory'] for session in sessions.read(folder) if 'directory' in session]
        if not places or places[-1] == os.getcwd() or ':' not in f'{recipe["model"]["name"]}{recipe["data"]["name"]}':
            raise
        raise LthError(f'{error} The run was begun in {places[-1]}: evaluate it from there.') from None


def select_round(plan: Plan, run: Run, seeds: Sequence[int], placed: int | None, asked: int | None) -> int:
    """The round that is meant: the one of the path or of `--round`, else the last, if the search is complete. An
    LthError if a seed lacks it.
    """

    if placed is not None and asked not in (None, placed):
        raise LthError(f'--round {asked}: the run was given as its round {placed}. Leave one out.')
    number = placed if placed is not None else asked
    if number is None and any(run.round_count(seed) < len(plan.kept) for seed in seeds):
        done = min(run.round_count(seed) for seed in seeds)
        raise LthError(f'{run.folder} is not complete: {done} of {len(plan.kept)} rounds are there. Let the search '
                       f'go on, or choose one of them, such as --round {done - 1}.')
    number = len(plan.kept) - 1 if number is None else number
    if any(run.round_count(seed) <= number for seed in seeds):
        raise LthError(f'{run.folder} has no round {number} of all seeds {list(seeds)}: let the search go on, or '
                       'choose an earlier round.')
    return number
