"""A recipe with all its settings, including those that its file leaves to the defaults."""
from typing import Any

from lth.algorithms import ALGORITHMS
from lth.errors import LthError
from lth.experiments.changes import Changes
from lth.experiments.resolve import ticket_plan
from lth.recipes import presets
from lth.recipes.presets import RawRecipe
from lth.recipes.schema import ModelSettings, validate_recipe
from lth.registry import user_code
from lth.system.yaml_text import Raw


def complete_recipe(name: str) -> Raw:
    """The complete recipe of a preset or a file. A preset that is a fallback has no name of a model or data set.
    LthError for a file without both names, because most defaults depend on them.
    """

    recipe = presets.find(name)
    model, dataset = _name(recipe.settings, 'model'), _name(recipe.settings, 'data')
    if model and dataset:
        user_code.require_trust(recipe.settings)
        return ticket_plan(model, dataset, Changes(), recipe=name).recipe.dump()
    if name in presets.names():
        return _complete_fallback(recipe)
    raise LthError(f'{recipe.origin} does not name both a model and a data set, which decide the settings that it '
                   f'leaves out. To see it complete, run: lth find-ticket MODEL DATASET --recipe {name} --dry-run')


def _complete_fallback(recipe: RawRecipe) -> Raw:
    """All settings of training and algorithm; model and data as they are in the file."""

    raw = recipe.settings
    without_names = {**raw, 'model': {'name': ''}, 'data': {**raw['data'], 'name': ''}}
    settings = ALGORITHMS.find(raw['algorithm']['name']).settings
    complete = validate_recipe(without_names, recipe.origin, model=ModelSettings, algorithm=settings).dump()
    if 'precision' not in raw['training']:
        del complete['training']['precision']  # depends on the device
    complete |= {'model': raw.get('model'), 'data': raw['data']}
    return {section: content for section, content in complete.items() if content}


def _name(raw: Raw, section: str) -> Any:
    """The name in a section, None if there is none."""

    content = raw.get(section)
    return content.get('name') if isinstance(content, dict) else None
