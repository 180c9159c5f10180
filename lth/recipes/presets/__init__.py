"""The recipes that come with lth, one YAML file each, and the choice of one for a model and a data set.

A preset's name is its file's name. The section `preset` of the file says what the recipe is for, together with the
names in its sections `model` and `data`:

    role: default     the recipe of this model on this data set
    role: variant     another recipe for this model on this data set, used only when requested by name
    role: fallback    for pairs without a recipe: it names only the model, only the data set, or neither; `family`
                      restricts it to models whose name up to the first number is this word
    role: gem         for gems: in this model, on this data set, at `algorithm.density`; or, if it names no model, for
                      its algorithm in any model. The latter is applied on top of the model's recipe for Gem-Miner:
                      settings in `inherit` are taken from that recipe, settings in `drop` are removed from it
    role: sparse      for sparse training of this model on this data set

`untested: true` marks a default whose training no paper has used for this model and nobody has tried at full length.

`base: NAME` is another preset that supplies all settings that the file leaves out; a section whose `name` differs, such
as another optimizer, takes nothing from the base. To add a preset, put a file into this folder.
"""
import copy
import functools
import os
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lth.errors import LthError, quote, suggestion
from lth.recipes.schema import AlgorithmSettings, Section, merge, validate_section
from lth.system import yaml_text
from lth.system.yaml_text import Raw

_FOLDER = Path(__file__).parent
_ANY_GEM = 'gem'


@dataclass(frozen=True)
class RawRecipe:
    """A recipe before validation: its settings, the file that they come from, and a note for the user if that file was
    made for another model, data set or density.
    """

    settings: Raw
    origin: str
    note: str | None = None


@dataclass(frozen=True)
class Preset:
    """What a preset is for. `model`, `family` and `dataset` are None if it is for any; `source` is the publication, and
    `untested` says that there is none and that nobody has tried the recipe at full length.
    """

    name: str
    role: Literal['default', 'variant', 'fallback', 'gem', 'sparse']
    model: str | None
    family: str | None
    dataset: str | None
    algorithm: str
    density: float | None
    source: str
    untested: bool = False

    def covers(self, model: str, dataset: str) -> bool:
        """Whether the recipe can be used for this pair."""

        return (self.model in (None, model) and self.dataset in (None, dataset)
                and self.family in (None, re.split(r'-?\d', model)[0]))


class _PresetSection(Section):
    """The section `preset` of a file."""

    role: Literal['default', 'variant', 'fallback', 'gem', 'sparse']
    family: str | None = None
    untested: bool = False
    inherit: list[str] = []
    drop: list[str] = []


def names() -> list[str]:
    """Names of all presets."""

    return sorted(path.stem for path in _FOLDER.glob('*.yaml'))


@functools.cache
def preset(name: str) -> Preset:
    """What the preset of this name is for."""

    raw = find(name).settings
    model, dataset = (raw.get(section, {}).get('name') for section in ('model', 'data'))
    section, algorithm = _section(name), raw['algorithm']
    return Preset(name, section.role, model, section.family, dataset, algorithm['name'], algorithm.get('density'),
                  raw['source'], section.untested)


def find(name: str) -> RawRecipe:
    """The preset or recipe file of this name, with the settings of its base."""

    raw, origin = _read(name)
    if 'base' not in raw:
        return RawRecipe(copy.deepcopy(raw), origin)
    base = raw.pop('base')
    if base not in names():
        similar = suggestion(str(base), names(), listed_by='lth list recipes')
        raise LthError(f'{origin}: base: unknown recipe {quote(base)}{similar}')
    return RawRecipe(_with_base(raw, origin, find(base).settings), origin)


def default_recipe(model: str, dataset: str) -> RawRecipe:
    """The recipe that fits the pair best; both names as registered."""

    defaults = (entry for entry in _presets() if entry.role in ('default', 'fallback'))
    candidates = [entry for entry in defaults if entry.covers(model, dataset)]
    best = max(candidates, key=lambda entry: (bool(entry.dataset), bool(entry.model), bool(entry.family)))
    recipe = find(best.name)
    if best.untested:
        return replace(recipe, note=f'{recipe.origin} is an untested default: nobody has trained {model} by it at full '
                       'length (--dry-run shows its settings)')
    if best.role == 'default':
        return recipe
    note = f'no published recipe for {model} on {dataset}: using {recipe.origin} (--dry-run shows its settings)'
    return replace(recipe, note=note)


def gem_recipe(model: str, dataset: str, density: float) -> RawRecipe:
    """The recipe for Gem-Miner in this model on this data set that has the nearest density, as a ratio."""

    entries = {entry.density: entry.name for entry in _presets()
               if (entry.role, entry.model, entry.dataset) == ('gem', model, dataset) and entry.density}
    if not entries:
        recipe = find(_ANY_GEM)
        return replace(recipe, note=f'no published recipe for a gem in {model} on {dataset}: using {recipe.origin}')
    nearest = min(entries, key=lambda published: abs(math.log(published / density)))
    recipe = find(entries[nearest])
    if math.isclose(nearest, density):
        return recipe
    recipe.settings['algorithm'].pop('final_mask', None)  # published for that density only
    note = f'no published recipe for {100 * density:.4g}%: using the nearest, for {100 * nearest:.4g}%'
    return replace(recipe, note=note)


def sparse_recipe(model: str, dataset: str) -> RawRecipe:
    """The recipe for sparse training of this model on this data set. If there is none, the section `algorithm` is that
    of another algorithm.
    """

    own = [entry.name for entry in _presets()
           if (entry.role, entry.model, entry.dataset) == ('sparse', model, dataset)]
    if own:
        return find(own[0])
    recipe = default_recipe(model, dataset)
    note = (f'no published recipe for sparse training of {model} on {dataset}: the training is that of '
            f'{recipe.origin}, an untested default (--dry-run shows its settings)')
    return replace(recipe, note=note)


def gem_recipe_for(algorithm: str, declared: type[AlgorithmSettings], pair: RawRecipe) -> RawRecipe:
    """The recipe of a gem by this algorithm, given the pair's recipe for Gem-Miner: the algorithm's preset is applied
    on top. An algorithm without a preset declares in its settings class which one it uses, or which settings it takes
    from the pair's recipe.
    """

    if algorithm == pair.settings['algorithm']['name']:
        return pair
    own = [entry.name for entry in _presets() if (entry.role, entry.model, entry.algorithm) == ('gem', None, algorithm)]
    if not own and not declared.preset:
        taken = {key: pair.settings['algorithm'][key] for key in declared.preset_keys}
        return replace(pair, settings=pair.settings | {'algorithm': {'name': algorithm, **taken}})
    settings, origin = _on_gem_recipe(own[0] if own else declared.preset, algorithm, pair.settings)
    return RawRecipe(settings, origin, pair.note and pair.note.replace(pair.origin, origin))


def select_recipe(name: str | None, default: RawRecipe) -> RawRecipe:
    """The preset or file of this name, `default` for None. A file without base takes the settings that it leaves out
    from `default`.
    """

    if name is None:
        return default
    raw, origin = _read(name)
    if name in names() or 'base' in raw:
        return find(name)
    source = {'source': raw.get('source', '')}
    if merge(default.settings, raw) | source == raw | source:
        return RawRecipe(raw, origin)
    return RawRecipe(_with_base(raw, origin, default.settings), origin, default.note)


@functools.cache
def _presets() -> list[Preset]:
    return [preset(name) for name in names()]


def _on_gem_recipe(name: str, algorithm: str, pair: Raw) -> tuple[Raw, str]:
    """The settings of an algorithm's preset on top of the pair's gem recipe, and the preset's file."""

    (raw, origin), section = _read(name), _section(name)
    raw.pop('base', None)
    if raw['algorithm']['name'] != algorithm:
        raw['algorithm'] = {'name': algorithm}
    settings = merge(pair, raw)
    for key in section.inherit:
        part, setting = key.split('.')
        settings[part][setting] = pair[part][setting]
    for key in section.drop:
        part, setting = key.split('.')
        settings[part].pop(setting, None)
    return settings, origin


def _read(name: str) -> tuple[Raw, str]:
    """The settings that the file of a recipe contains, and the file's name."""

    if name in names():
        return {key: value for key, value in _preset_file(name).items() if key != 'preset'}, f'{name}.yaml'
    if not name.strip():
        raise LthError('--recipe: the name is empty. Give a YAML file or a recipe from `lth list recipes`.')
    if not os.path.lexists(name):
        raise LthError(f'There is no recipe file {quote(name)}, and no recipe of that name'
                       f'{suggestion(name, names(), listed_by="lth list recipes")}')
    return yaml_text.read_yaml(Path(name)), Path(name).name


def _section(name: str) -> _PresetSection:
    """The section `preset` of a preset's file."""

    return validate_section(_PresetSection, _preset_file(name)['preset'], f'{name}.yaml: preset')


@functools.cache
def _preset_file(name: str) -> Raw:
    return yaml_text.read_yaml(_FOLDER / f'{name}.yaml')


def _with_base(raw: Raw, origin: str, base: Raw) -> Raw:
    """A recipe on top of another. Unless it has a source, its source is that of the other."""

    return merge(base, {'source': f'{origin} over {base["source"]}', **raw})
