"""Plans of early-bird tickets: masks that a search compared, drawn at their early bird, or at the end of training."""
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lth.errors import LthError
from lth.experiments import folders
from lth.experiments.open_run import open_run
from lth.experiments.plan import Plan, make_plan
from lth.pruning.early_bird import THRESHOLD, emergence
from lth.recipes.schema import layer_settings
from lth.runs.folder import Run
from lth.runs.run_path import RunPath


class DrawnMask(NamedTuple):
    """A mask that the search compared: its number among these, its numbers of weights in the parts that are ranked, and
    the iteration of its early bird, for each seed; None for those that have none.
    """

    number: int
    counts: Sequence[int]
    iterations: Sequence[int | None]


class WatchedSource(NamedTuple):
    """A search that compared masks while its dense networks trained. `masks` are those that have an early bird in all
    seeds, by a normalised distance of at most `threshold`, and `late` the others.
    """

    plan: Plan
    run: Run
    seeds: Sequence[int]
    scope: str
    threshold: float
    masks: Sequence[DrawnMask]
    late: Sequence[DrawnMask]


class EarlyBirdPlans(NamedTuple):
    """The plan of a run of masks that are drawn early, and those of its control: drawn at the end."""

    early: Plan
    controls: dict[str, Plan]


def open_watched(path: RunPath, threshold: float = THRESHOLD) -> WatchedSource:
    """The search at a path, of all its seeds or that of the path. LthError if it compared no masks, if it trains copies
    of each network, or if no mask has an early bird in all seeds.
    """

    plan, run = open_run(path)
    if path.round:
        raise LthError(f'The path names round {path.round}, but masks are drawn in the training of round 0. Leave the '
                       f'round out of it: {path.folder}')
    watched = plan.recipe.algorithm.watched_counts(plan.network.layout)
    if watched is None:
        raise unwatched_error(path.folder)
    if plan.recipe.algorithm.soup_sentence:
        raise LthError(f'{path.folder} trains several copies of each network, which have no common early bird. Search '
                       'in another folder with one: --copies 1')
    seeds = run.seeds() if path.seed is None else [path.seed]
    for seed in seeds:  # a damaged round would end the training of the seeds after the first ones
        run.check(seed, 0)
    found, late = _drawn_masks(run, seeds, watched[1], threshold)
    return WatchedSource(plan, run, seeds, watched[0], threshold, found, late)


def _drawn_masks(
        run: Run, seeds: Sequence[int], counts: Sequence[Sequence[int]], threshold: float,
) -> tuple[list[DrawnMask], list[DrawnMask]]:
    """The masks that have an early bird in all seeds, and the others. LthError if there are only others."""

    masks = [DrawnMask(number, kept, [_emergence(run, seed, number, threshold) for seed in seeds])
             for number, kept in enumerate(counts)]
    found = [mask for mask in masks if None not in mask.iterations]
    if not found:
        raise LthError(f'{run.folder} has no early bird in all seeds {list(seeds)}: no mask comes as close as '
                       f'{threshold:g} to the last ones. Choose a larger --threshold, or train for longer.')
    return found, [mask for mask in masks if None in mask.iterations]


def unwatched_error(folder: Path) -> LthError:
    """The error for a search that compared no masks."""

    return LthError(f'{folder} did not compare masks while round 0 was trained. Search in another folder with: '
                    'lth find-ticket ... --early-bird')


def early_bird_folder(path: RunPath) -> Path:
    """RUN-early-birds, with the seed if the path names one."""

    seed = '' if path.seed is None else f'-seed-{path.seed}'
    return folders.sibling_folder(path.folder, f'early-birds{seed}')


def early_bird_plans(source: WatchedSource, folder: Path) -> EarlyBirdPlans:
    """The plans that train the masks in `folder` and the control next to it, by the recipe of the search."""

    control = folders.control_folder(folder, 'end')
    early = _plan(source, folder, 'early')
    if source.late:
        early = replace(early, notes=(*early.notes, _late_note(source)))
    return EarlyBirdPlans(early, {'end': _plan(source, control, 'end')})


def _emergence(run: Run, seed: int, number: int, threshold: float) -> int | None:
    """The iteration of the early bird of a mask in a seed."""

    masks = run.record(seed, 0).early_bird
    assert masks is not None
    measured = ((line.iteration, line.differing[number]) for line in run.metrics(seed, 0) if line.differing)
    return emergence(measured, threshold * masks.chance[number])


def _late_note(source: WatchedSource) -> str:
    """Which masks are left out."""

    prunable = source.plan.network.layout.prunable_count
    densities = ', '.join(f'{100 * sum(mask.counts) / prunable:.2f}%' for mask in source.late)
    return f'not every seed has an early bird at {densities} of the weights, which are left out'


def _plan(source: WatchedSource, folder: Path, drawn: str) -> Plan:
    raw = source.plan.recipe.dump()
    raw['algorithm'] = {
        'name': 'early-bird', **layer_settings(raw), 'source': os.path.relpath(source.run.folder, folder),
        'masks': [mask.number for mask in source.masks], 'counts': [list(mask.counts) for mask in source.masks],
        'scope': source.scope, 'threshold': source.threshold, 'drawn': drawn}
    raw['source'] = f'masks of {source.run.folder}, drawn {"early" if drawn == "early" else "at the end"}'
    return make_plan(raw, f'early birds of {source.run.folder}')
