"""A run measured afresh from its files: what its numbers are worth is what its files give."""
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lth import files
from lth.compaction import Carrying, carrying
from lth.datasets import Dataset
from lth.errors import LthError
from lth.plan import Plan, planned
from lth.recipe import Raw
from lth.runs import Run
from lth.task import Engine
from lth.training import accuracy


class LayerDensity(NamedTuple):
    """One layer: how many of its weights are left; all of them where it was kept out of pruning."""

    name: str
    kept: int
    weights: int


class Evaluation(NamedTuple):
    """One round of one seed: its test accuracy measured now and as recorded, its layers, and what of them carries
    anything if they are a chain.
    """

    seed: int
    round: int
    kept: int
    density: float
    test_accuracy: float
    recorded: float
    layers: list[LayerDensity]
    carrying: list[Carrying]


class Place(NamedTuple):
    """What a path names: a run, one of its seeds, or one round of it."""

    folder: Path
    seed: int | None
    round: int | None


def place(path: str) -> Place:
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
                return Place(folder, *(numbers + [None, None])[:2])
    raise LthError(f'{path} is no run: expected a folder with a recipe.yaml, RUN, RUN/seed-S or RUN/seed-S/round-NN, '
                   'here or below ./runs.')


def opened(where: Place) -> tuple[Plan, Run]:
    """A run and the plan it follows."""

    recipe = files.read_yaml(where.folder / 'recipe.yaml')
    plan = _planned(where.folder, recipe)
    run = Run(where.folder, plan.recipe.dump(), plan.network)
    if not run.seeds():
        raise LthError(f'{where.folder} has no whole round yet: let lth find-ticket finish at least one.')
    if where.seed is not None and run.rounds(where.seed) <= (where.round or 0):
        raise LthError(f'{where.folder} has no round {where.round or 0} of seed {where.seed}: its seeds are '
                       f'{run.seeds()}, and seed {where.seed} has {run.rounds(where.seed)} rounds.')
    return plan, run


def _planned(folder: Path, recipe: Raw) -> Plan:
    """The plan; names of the user's own code and folders count from where the run was begun."""

    try:
        return planned(recipe, str(folder / 'recipe.yaml'))
    except LthError as error:
        places = [session['directory'] for session in Run.sessions_in(folder) if 'directory' in session]
        if not places or places[-1] == os.getcwd() or ':' not in f'{recipe["model"]["name"]}{recipe["data"]["name"]}':
            raise
        raise LthError(f'{error} The run was begun in {places[-1]}: evaluate it from there.') from None


def evaluations(
        plan: Plan, run: Run, data: Dataset, engine: Engine, seeds: Sequence[int], number: int | None,
) -> Iterator[Evaluation]:
    """Every round asked for, measured from its files."""

    for seed in seeds:
        task = plan.task(data, [seed], engine)
        for chosen in range(run.rounds(seed)) if number is None else [number]:
            found = run.load(seed, chosen)
            state = found.trained.to(engine.device)
            kept = int(found.ticket.mask.sum())
            masks = plan.network.layout.unpack(found.ticket.mask[0])
            layers = [LayerDensity(slot.name, int(masks[slot.name].sum()) if slot.prunable else slot.size, slot.size)
                      for slot in plan.network.layout.slots if slot.kind != 'other']
            yield Evaluation(seed, chosen, kept, plan.network.layout.density(kept), accuracy(task, state)[0],
                             run.header(seed, chosen)['test_accuracy'], layers,
                             carrying(plan.network, found.ticket.mask[0]))
