"""Plans of transfers: tickets of a run, or random ones of their densities, trained on another data set."""
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lth.algorithms.retraining.transfer import Carried
from lth.errors import LthError
from lth.experiments import folders, setting_checks
from lth.experiments.changes import Changes, training_length
from lth.experiments.open_run import SourceRounds
from lth.experiments.plan import Plan
from lth.experiments.resolve import canonical_pair, plan_for
from lth.pruning import output_layer
from lth.recipes import presets
from lth.recipes.schema import layer_settings


def transfer_plan(
        source: SourceRounds, dataset: str, folder: Path, changes: Changes = Changes(), *,
        ticket: Literal['found', 'random'] = 'found', carry: Carried = 'weights', recipe: str | None = None,
        device: str = 'auto') -> Plan:
    """The plan of a run in `folder` that trains the source's tickets, or random ones of their densities, on another
    data set, by the recipe of their model and that data set. `carry`: what of a ticket is kept besides its mask.
    """

    setting_checks.refuse_computed(changes.overrides)
    _refuse_untrained_signs(source, carry)
    settings = {'name': 'transfer', **layer_settings(source.plan.recipe.dump()), 'ticket': ticket,
                'carry': carry,
                'source': os.path.relpath(source.run.folder, folder), 'rounds': list(source.numbers),
                'shape': list(source.plan.network.shape), 'classes': source.plan.network.classes}
    model = source.plan.recipe.dump()['model']
    pair = canonical_pair(model['name'], dataset)
    selected = presets.select_recipe(recipe, presets.default_recipe(*pair))

    def plan(kept: Sequence[int]) -> Plan:
        raw = {**selected.settings, 'model': model, 'algorithm': {**settings, 'kept': list(kept)}}
        return plan_for(replace(selected, settings=raw), pair, changes, training_length(changes.epochs), device=device)

    # How many weights a ticket keeps on the other data set depends on the network there.
    network = plan([0] * len(source.numbers)).network
    if ticket == 'random' and network.has_fixed_weights:
        raise LthError('Random tickets have re-initialized weights, but all seeds start from the weights of the given '
                       'module. Choose an initializer with the setting model.initializer, or leave random tickets out.')
    if carry != 'weights' and network.has_fixed_weights:
        raise LthError(f'Carrying {carry} needs new weights, but all seeds start from the weights of the given module. '
                       'Choose an initializer with the setting model.initializer, or carry the weights.')
    masks = (source.run.load_mask(source.seeds[0], number)[0] for number in source.numbers)
    return plan([output_layer.transplanted_count(mask, source.plan.network, network) for mask in masks])


def transfer_suffix(dataset: str, optimizer: str | None = None, carry: Carried = 'weights') -> str:
    """What follows the source in the default name of a transferred run: the data set, and what is not the default."""

    parts = ['to', folders.file_name(dataset), optimizer or '', '' if carry == 'weights' else carry]
    return '-'.join(filter(None, parts))


def _refuse_untrained_signs(source: SourceRounds, carry: Carried) -> None:
    """LthError if trained signs are to be carried, but the algorithm of the source trains no weights of its tickets."""

    settings = source.plan.recipe.algorithm
    if carry == 'signs' and not settings.trains_weights:
        raise LthError(f'--carry signs: {settings.name} does not train the weights that its mask keeps, so there are '
                       'no trained signs. Carry start-signs, the signs of the weights themselves.')
