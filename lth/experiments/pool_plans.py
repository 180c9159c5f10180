"""Plans of Lottery Pools: runs that interpolate the trained tickets of the rounds of another run."""
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lth.errors import LthError
from lth.experiments.folders import sibling_folder
from lth.experiments.open_run import SourceRounds
from lth.experiments.plan import Plan, make_plan
from lth.recipes.schema import layer_settings
from lth.runs.run_path import RunPath


def pool_plan(source: SourceRounds, folder: Path, *, scope: Literal['global', 'layer'] | None = None) -> Plan:
    """The plan of a run in `folder` that pools these rounds. Pooled weights are pruned by the `scope`, by default as
    the search prunes. LthError if the run is not a search with several rounds that train weights.
    """

    levels = min(source.run.round_count(seed) for seed in source.seeds)
    _refuse_other_runs(source, levels)
    as_searched = 'layer' if _prunes_by_layer(source.plan) else 'global'
    kept = [source.run.record(source.seeds[0], number).kept for number in source.numbers]
    raw = source.plan.recipe.dump()
    raw['algorithm'] = {
        'name': 'pool', **layer_settings(raw), 'source': os.path.relpath(source.run.folder, folder),
        'levels': levels, 'rounds': list(source.numbers), 'kept': kept, 'scope': scope or as_searched}
    raw['source'] = f'pool of {source.run.folder}'
    plan = make_plan(raw, f'pool of {source.run.folder}')
    return replace(plan, notes=(*plan.notes, _scope_note(scope or as_searched, as_searched)))


def pool_folder(path: RunPath) -> Path:
    """RUN-pool, with the seed and the round if the path names them."""

    seed = '' if path.seed is None else f'-seed-{path.seed}'
    number = '' if path.round is None else f'-round-{path.round:02d}'
    return sibling_folder(path.folder, f'pool{seed}{number}')


def _prunes_by_layer(plan: Plan) -> bool:
    settings = plan.recipe.algorithm
    return settings.kept_per_layer(plan.network.layout, plan.recipe.training, plan.steps_per_epoch) is not None


def _scope_note(scope: str, as_searched: str) -> str:
    """How pooled weights are pruned, and why."""

    if scope == 'layer':
        return ('each layer of a pooled ticket keeps as many weights as in the ticket, since the search prunes layer '
                'by layer; --scope global ranks all layers together, as the paper does')
    why = 'as the search does' if as_searched == 'global' else 'so layers keep other numbers than in the search'
    return f'pooled weights of all layers are ranked together, {why}'


def _refuse_other_runs(source: SourceRounds, levels: int) -> None:
    folder, settings = source.run.folder, source.plan.recipe.algorithm
    if settings.trains != 'each' or settings.finds != 'tickets':
        raise LthError(f'{folder} cannot be pooled: pools interpolate the trained tickets of a search (lth '
                       f'find-ticket), but its algorithm is {settings.name}.')
    if settings.alters_weights:
        raise LthError(f'{folder} cannot be pooled: its pruned weights are not 0, but those of a pooled ticket are. '
                       'Pool a search with the mask-0 action zero.')
    if levels < 2:
        raise LthError(f'{folder} has one round of all seeds {list(source.seeds)}, and a pool interpolates several. '
                       'Resume the search with at least one pruning (-i).')
