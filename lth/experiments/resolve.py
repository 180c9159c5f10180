"""Plans of searches from names and settings: the recipe of the model and data set, the user's recipe, single settings.

The plans of searches for gems are made in gem_plans.py; those of runs that start from another run in derived_plans.py,
transfer_plans.py, align_plans.py and pool_plans.py.
"""
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lth.algorithms.sparse_training import settings as sparse_training
from lth.datasets import DATASETS
from lth.errors import LthError, quote
from lth.experiments import setting_checks
from lth.experiments.changes import Changes, setting_at, training_length
from lth.experiments.plan import Plan, make_plan
from lth.models.registry import MODELS
from lth.recipes import presets
from lth.recipes.presets import RawRecipe
from lth.recipes.schema import merge
from lth.registry.registry import normalize_name
from lth.system.yaml_text import Raw


def ticket_plan(
        model: str, dataset: str, changes: Changes, *, recipe: str | None = None, device: str = 'auto') -> Plan:
    """The plan of a search for tickets. `recipe` is a file, or the name of a preset; None takes the default recipe of
    the model and data set. The device decides the precision where no recipe does.
    """

    pair = canonical_pair(model, dataset)
    selected = presets.select_recipe(recipe, presets.default_recipe(*pair))
    setting_checks.refuse_other_command(changes.apply(selected.settings).get('algorithm'))
    plan = plan_for(selected, pair, changes, training_length(changes.epochs), device=device)
    setting_checks.refuse_idle_rounds(plan)
    setting_checks.refuse_missing_functions(plan)
    return plan


def sparse_plan(  # pylint: disable=too-many-arguments # as many as the command has
        model: str, dataset: str, changes: Changes, *, density: float | None = None, method: str | None = None,
        recipe: str | None = None, device: str = 'auto') -> Plan:
    """The plan of a sparse training with this share of the weights at the end, by RigL unless the recipe or `method`
    says otherwise. Without a density the changes set it. With a number of epochs, the mask of a default recipe moves
    for the method's usual share of them, unless the changes say until when.
    """

    pair = canonical_pair(model, dataset)
    selected = presets.select_recipe(recipe, presets.sparse_recipe(*pair))
    check_density(density)
    options = {'algorithm.density': density, 'algorithm.method': method, **changes.options}
    changes = Changes(changes.epochs, options, changes.overrides)
    changed = changes.apply({})
    section = sparse_training.with_method(selected.settings['algorithm'], setting_at(changed, 'algorithm.method'))
    if recipe is None and setting_at(changed, 'algorithm.density') is None:
        raise LthError('Give --density, the share of the weights that are active at the end, such as --density 0.1.')
    if recipe is None and changes.epochs is not None:
        section.pop('update_until', None)  # an iteration of the recipe's own length
    settings = {**selected.settings, 'algorithm': section}
    return plan_for(replace(selected, settings=settings), pair, changes, training_length(changes.epochs), device=device)


def plan_for(
        recipe: RawRecipe, pair: tuple[str, str], changes: Changes, lengths: Mapping[str, Any], *, device: str,
) -> Plan:
    """The plan of a recipe for this model and data set with the changes; LthError if it is for others."""

    setting_checks.refuse_other_pair(changes.overrides, pair)
    unchanged = _for_pair(recipe.settings, pair, recipe.origin)
    raw = changes.apply(unchanged, lengths)
    origin = recipe.origin if raw == unchanged else f'{recipe.origin} with the given options'
    raw = merge({'training': {'precision': 'auto'}}, _for_pair(raw, pair, origin))
    return make_plan(raw, origin, (recipe.note,) if recipe.note else (), device=device)


def check_density(density: float | None) -> None:
    """LthError unless this is a share of weights to keep, or None."""

    if density is not None and not 0 < density <= 1:
        raise LthError(f'--density {density:g}: give the share of weights to keep, above 0 and at most 1.')


def canonical_pair(model: str, dataset: str) -> tuple[str, str]:
    """Model and data set under their registered names. LthError if one is unknown, or if they are swapped."""

    if dataset in MODELS.names() and model in DATASETS.names():
        raise LthError(f'{quote(model)} is a data set and {quote(dataset)} is a model. Give the model first: '
                       f'{dataset} {model}.')
    return MODELS.canonical(model), DATASETS.canonical(dataset)


def _for_pair(raw: Raw, pair: tuple[str, str], origin: str) -> Raw:
    """The recipe with the registered names of this model and data set; LthError if it is for others."""

    sections = {}
    for section, name in zip(('model', 'data'), pair, strict=True):
        settings = raw.get(section, {})
        if not isinstance(settings, dict):
            raise LthError(f'{origin}: {section}: expected settings with a name, such as '
                           f'`{section}: {{name: {name}}}`, not {quote(settings)}.')
        if normalize_name(str(settings.get('name', name))) != normalize_name(name):
            raise LthError(f'{origin}: {section}: this recipe is for {quote(settings["name"])}, not for {quote(name)}.')
        sections[section] = {**settings, 'name': name}
    return {**raw, **sections}
