"""From what was typed to a plan: the recipe of the pair, a file on top of it, then the options, then `--set`."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lth.errors import LthError

if TYPE_CHECKING:
    from lth.experiments.plan import Plan
    from lth.recipes.rare_gems import Conversion


# A recipe, where it was found, and a remark if it was made for others.
Found = tuple[dict[str, Any], str, str | None]


def plan_of(
        model: str, dataset: str, recipe: str | None, options: Mapping[str, Any], overrides: Sequence[str],
        device: str = 'auto') -> 'Plan':
    """The plan of a search for tickets; `options` are dotted settings that have a flag, None if not given. Where
    nothing gives a precision it is the device's.
    """

    # Here and in the commands: torch takes 2 s to import, and `--help` must not wait for it.
    from lth.recipes import presets  # pylint: disable=import-outside-toplevel
    pair = _pair(model, dataset)
    found = presets.default_recipe(*pair) if recipe is None else presets.select_recipe(recipe, presets.default_recipe(*pair))
    return _planned(found, pair, options, overrides, device)


def gem_recipe_of(
        model: str, dataset: str, recipe: str | None, density: float, algorithm: str | None) -> Found:
    """The recipe of a search for a gem: that of the pair, density and algorithm, and the one that was asked for."""

    from lth.recipes import presets  # pylint: disable=import-outside-toplevel # as above
    usual = presets.gem_recipe(*_pair(model, dataset), density, algorithm or 'gem-miner')
    return usual if recipe is None else presets.select_recipe(recipe, usual)


def gem_plan_of(
        found: Found, pair: tuple[str, str], options: Mapping[str, Any], overrides: Sequence[str],
        device: str = 'auto') -> 'Plan':
    """The plan of a search for a gem by a recipe for the pair, with the options on top."""

    return _planned(found, _pair(*pair), options, overrides, device)


def converted_plan(conversion: 'Conversion', device: str = 'auto') -> 'Plan':
    """The plan of converted rare-gems settings."""

    raw, origin = conversion.recipe, conversion.recipe['source']
    pair = _pair(raw['model']['name'], raw['data']['name'])
    return _planned((raw, origin, None), pair, {}, [], device)


def controls_of(text: str | None, draws: int, plan: 'Plan', folder: Path) -> 'dict[str, list[Plan]]':
    """The plans of all draws of the controls that `--controls` names, beside a search in this folder; an LthError if
    one is unknown or there is nothing to control.
    """

    if text is None:
        if draws > 1:
            raise LthError(f'--control-draws {draws}: of which controls? Name them, such as --controls reinit.')
        return {}
    from lth.pruning.controls import (  # pylint: disable=import-outside-toplevel # as above
        CONTROLS, available_controls, control_obstacle)
    names = list(dict.fromkeys(CONTROLS.canonical(name.strip()) for name in text.split(',')))
    if missing := [name for name in names if name not in available_controls()]:
        raise LthError(f'--controls {text}: {missing[0]} is what they are compared with. Choose among '
                       f'{", ".join(available_controls())}.')
    for name in names:
        if why := control_obstacle(name, plan.recipe.dump()['algorithm']):
            raise LthError(f'--controls {text}: {name} cannot stand beside these tickets: {why}. Leave it out, or let '
                           'pruned weights go to zero (--mask-0-action zero).')
    if len(plan.kept) == 1:
        raise LthError(f'--controls {text}: they stand beside tickets, but round 0 is the only one: prune at least '
                       'once (-i).')
    return {name: [_control_plan(plan, folder, name, draw) for draw in range(1, draws + 1)] for name in names}


def control_folder(folder: Path, control: str, draw: int = 1) -> Path:
    """Where a draw of a control lies that stands beside the run in this folder."""

    return Path(f'{folder}-controls') / (control if draw == 1 else f'{control}-{draw}')


def _control_plan(plan: 'Plan', folder: Path, control: str, draw: int) -> 'Plan':
    """The plan of a control of a search in this folder: the same recipe, but for what it trains at each level."""

    from lth.experiments.plan import make_plan  # pylint: disable=import-outside-toplevel # as above
    raw = plan.recipe.dump()
    source = os.path.relpath(folder, control_folder(folder, control, draw))
    raw['algorithm'] = {'name': 'control', 'keep_out': raw['algorithm']['keep_out'], 'control': control, 'draw': draw,
                        'source': source, 'kept': plan.kept}
    raw['source'] = f'{control}, beside {folder}'
    return make_plan(raw, f'{control} beside {folder}')


def transfer_plan_of(
        sections: Mapping[str, dict[str, Any]], recipe: str | None, options: Mapping[str, Any],
        overrides: Sequence[str], device: str = 'auto') -> 'Plan':
    """The plan that trains tickets on other pictures: the recipe of the pair, but its model and algorithm as given."""

    from lth.recipes import presets  # pylint: disable=import-outside-toplevel # as above
    pair = _pair(sections['model']['name'], sections['data']['name'])
    usual = presets.default_recipe(*pair)
    raw, origin, note = usual if recipe is None else presets.select_recipe(recipe, usual)
    raw = {**raw, 'model': sections['model'], 'algorithm': sections['algorithm']}
    return _planned((raw, origin, note), pair, options, overrides, device)


def gem_schedule(epochs: int) -> dict[str, Any]:
    """How the learning rate drops when a gem is finetuned for so many epochs."""

    from lth.recipes.rare_gems import finetuning_milestones  # pylint: disable=import-outside-toplevel # as above
    return {'name': 'multistep', 'milestones': [f'{epoch} epochs' for epoch in finetuning_milestones(epochs)]}


def _pair(model: str, dataset: str) -> tuple[str, str]:
    """Both names as they are registered."""

    from lth.datasets import DATASETS  # pylint: disable=import-outside-toplevel # as above
    from lth.models.registry import MODELS  # pylint: disable=import-outside-toplevel # as above
    return MODELS.canonical(model), DATASETS.canonical(dataset)


def _planned(
        found: Found, pair: tuple[str, str], options: Mapping[str, Any], overrides: Sequence[str], device: str,
) -> 'Plan':
    """A recipe; then the options, then `--set`."""

    from lth.experiments.plan import make_plan  # pylint: disable=import-outside-toplevel # as above
    from lth.training.engines import select  # pylint: disable=import-outside-toplevel # as above
    raw, origin, note = found
    names = {'model': pair[0], 'data': pair[1]}
    written = _named(raw, names, origin)
    raw = overridden(written, options, overrides)
    origin = f'{origin} with the options given' if raw != written else origin
    raw, notes = _named(raw, names, origin), (note,) if note else ()
    plan = make_plan(raw, origin, notes)
    if 'precision' in raw['training']:
        return plan
    training = plan.recipe.training.model_copy(update={'precision': select.default_precision(device, plan.network)})
    return replace(plan, recipe=plan.recipe.model_copy(update={'training': training}))


def overridden(raw: dict[str, Any], options: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A recipe with the dotted settings that were given, and those of `--set`, on top."""

    from lth.recipes.schema import merge  # pylint: disable=import-outside-toplevel # as above
    given = [_nested(key, value) for key, value in options.items() if value is not None]
    for setting in (*given, *map(_parsed, overrides)):
        raw = merge(raw, setting)
    # Again where `--set` began a section afresh, such as another optimizer, and did not give the setting itself.
    for key, value in options.items():
        if value is not None and _found(raw, key) is None:
            raw = merge(raw, _nested(key, value))
    return raw


def _found(raw: Any, key: str) -> Any:
    """The setting at a dotted key, None if there is none."""

    for part in key.split('.'):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _named(raw: dict[str, Any], names: Mapping[str, str], origin: str) -> dict[str, Any]:
    """The recipe with the model and the data set that were asked for; an LthError if it is for others."""

    from lth.registry.registry import normalize_name  # pylint: disable=import-outside-toplevel # as above
    named = dict(raw)
    for section, name in names.items():
        asked = raw.get(section) or {}
        if not isinstance(asked, dict):
            raise LthError(f'{origin}: {section}: expected settings with a name, such as `{section}: {{name: {name}}}`'
                           f'; it is {asked!r}.')
        if normalize_name(str(asked.get('name', name))) != normalize_name(name):
            raise LthError(f'{origin}: {section}: this recipe is for {asked["name"]!r}, but {name!r} was asked for.')
        named[section] = {**asked, 'name': name}
    return named


def _parsed(override: str) -> dict[str, Any]:
    """`a.b=value` of --set as {a: {b: value}}."""

    from lth.system import files  # pylint: disable=import-outside-toplevel # as above
    key, equals, value = override.partition('=')
    if not equals or not key.strip():
        raise LthError(f'--set {override}: write it as key=value, such as --set training.batch_size=128.')
    return _nested(key.strip(), files.parse_yaml(value, f'--set {override}'))


def _nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and a value as {a: {b: value}}."""

    for part in reversed(key.split('.')):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested
