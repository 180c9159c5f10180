"""Plans of alignments: masks of one seed of a search, trained on the initial weights of its other seeds."""
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lth.errors import LthError
from lth.experiments import folders, setting_checks
from lth.experiments.changes import Changes, training_length
from lth.experiments.open_run import open_run, selected_rounds
from lth.experiments.plan import Plan, make_plan
from lth.models.channel_groups import channel_groups
from lth.recipes.schema import layer_settings
from lth.runs.folder import Run
from lth.runs.run_path import RunPath


class AlignedSource(NamedTuple):
    """The rounds of a run whose masks of one seed are carried to the initial weights of its other seeds."""

    plan: Plan
    run: Run
    mask_seed: int
    seeds: Sequence[int]
    numbers: Sequence[int]


class AlignedPlans(NamedTuple):
    """The plan of a run of aligned masks, and those of its controls: the masks as they are, and the seeds' own."""

    aligned: Plan
    controls: dict[str, Plan]


def open_aligned(path: RunPath, rounds: Sequence[int] | None) -> AlignedSource:
    """The rounds to align, by default all that have a mask, from the seed of the path, by default the first. LthError
    if the run has no other seed, or no tickets of trained weights.
    """

    plan, run = open_run(path)
    _refuse_unalignable(plan, path.folder)
    seeds = run.seeds()
    mask_seed = seeds[0] if path.seed is None else path.seed
    others = [seed for seed in seeds if seed != mask_seed]
    if not others:
        raise LthError(f'{path.folder} has only seed {mask_seed}, but masks are carried from one seed to another. Add '
                       'seeds to the search, such as --seeds 0-2.')
    masked = range(1, min(run.round_count(seed) for seed in seeds))
    numbers = selected_rounds(path, rounds, masked)
    if not numbers or not set(numbers) <= set(masked):
        raise LthError(f'--rounds: {path.folder} has {masked.stop} rounds of all seeds {seeds}; those from 1 on '
                       'have a mask. Choose among them, or prune more often (-i).')
    return AlignedSource(plan, run, mask_seed, others, numbers)


def aligned_folder(source: AlignedSource) -> Path:
    """The default folder of a run of aligned masks."""

    suffix = f'aligned-from-seed-{source.mask_seed}-round-{max(source.numbers):02d}'
    return folders.sibling_folder(source.run.folder, suffix)


def align_plans(source: AlignedSource, folder: Path, changes: Changes = Changes()) -> AlignedPlans:
    """The plans that train the masks of one seed on the weights of the others at the rewind point, by the recipe of the
    search: aligned in `folder`, the controls next to it.
    """

    setting_checks.refuse_computed(changes.overrides)
    controls: dict[str, Plan] = {}
    for mask in ('naive', 'own'):
        controls[mask] = _align_plan(source, folders.control_folder(folder, mask), changes, mask)
    return AlignedPlans(_align_plan(source, folder, changes, 'aligned'), controls)


def _refuse_unalignable(plan: Plan, folder: Path) -> None:
    """LthError if a run has no trained dense networks to align, or if channels of its network cannot be aligned."""

    settings = plan.recipe.algorithm
    if settings.finds != 'tickets' or settings.trains != 'each' or settings.needs_source:
        raise LthError(f'{folder} is not a search for tickets, so it has no trained dense networks to align. Give '
                       'a run of lth find-ticket.')
    if plan.network.has_fixed_weights:
        raise LthError(f'All seeds of {folder} start from the weights of the given module, so there are no other '
                       'initial weights. Choose an initializer with the setting model.initializer.')
    channel_groups(plan.network)


def _align_plan(source: AlignedSource, folder: Path, changes: Changes, mask: str) -> Plan:
    raw = source.plan.recipe.dump()
    kept = [int(source.run.load_mask(source.mask_seed, number).sum()) for number in source.numbers]
    raw['algorithm'] = {
        'name': 'align', **layer_settings(raw), 'source': os.path.relpath(source.run.folder, folder),
        'mask_seed': None if mask == 'own' else source.mask_seed, 'rounds': list(source.numbers), 'kept': kept,
        'mask': mask}
    raw['source'] = f'{mask} masks of {source.run.folder}, seed {source.mask_seed}'
    return make_plan(changes.apply(raw, training_length(changes.epochs)), f'alignment of {source.run.folder}')
