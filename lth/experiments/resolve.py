"""Plans of searches from names and settings: the recipe of the model and data set, the user's recipe, single settings.

The plans of runs that start from another run are made in derived_plans.py.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from lth.algorithms import ALGORITHMS
from lth.algorithms.sparse_training import settings as sparse_training
from lth.datasets import DATASETS
from lth.errors import LthError, quote, suggestion
from lth.experiments import setting_checks
from lth.experiments.plan import Plan, make_plan
from lth.experiments.starting_values import starting_values
from lth.models.registry import MODELS, settings_class
from lth.recipes import presets
from lth.recipes.presets import RawRecipe
from lth.recipes.rare_gems import Conversion, finetuning_milestones
from lth.recipes.schema import differences, merge
from lth.registry import user_code
from lth.registry.registry import normalize_name
from lth.system.yaml_text import Raw


@dataclass(frozen=True)
class Changes:
    """What the user changes in a recipe. Keys are dotted, such as 'training.batch_size'.

    epochs: length of training, which also decides where a gem's learning rate drops.
    options: settings that have an argument of their own; None leaves the value of the recipe.
    overrides: pairs (key, value), applied last; a value that replaces a whole section may be a dict.

    LthError if two of them set the same thing.
    """

    epochs: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[tuple[str, Any]] = ()

    def __post_init__(self) -> None:
        setting_checks.refuse_contradictions({**self.options, 'training.length': self.epochs}, self.overrides)

    def apply(self, raw: Raw, lengths: Mapping[str, Any] | None = None) -> Raw:
        """The recipe with the changes; `lengths` are the settings that the number of epochs changes in it."""

        options = {key: value for key, value in {**self.options, **(lengths or {})}.items() if value is not None}
        for key, value in (*options.items(), *self.overrides):
            raw = merge(raw, _nested(key, value))
        # Again: an override may have replaced a section, such as the optimizer, and so removed these settings.
        for key, value in options.items():
            if _setting(raw, key) is None:
                raw = merge(raw, _nested(key, value))
        return raw


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


def gem_plan(
        model: str, dataset: str, changes: Changes, *, density: float | None, algorithm: str | None = None,
        recipe: str | None = None, device: str = 'auto') -> Plan:
    """The plan of a search for a gem that keeps this share of the weights, by Gem-Miner unless an algorithm is given.
    Without a density the changes set it.
    """

    pair = canonical_pair(model, dataset)
    kept = _density_setting(changes) if density is None else density
    default = presets.gem_recipe(*pair, kept)
    if algorithm is not None:
        name = _gem_algorithm(algorithm)
        default = presets.gem_recipe_for(name, ALGORITHMS.find(name).settings, default)
    selected = presets.select_recipe(recipe, default)
    lengths = _gem_lengths(selected.settings, changes.epochs)
    changes = changes if density is None else _with_density(changes, density)
    changes = _with_starting_values(changes, selected.settings, default.settings)
    return plan_for(selected, pair, changes, lengths, device=device)


def sparse_plan(  # pylint: disable=too-many-arguments # as many as the command has
        model: str, dataset: str, changes: Changes, *, density: float | None = None, method: str | None = None,
        recipe: str | None = None, device: str = 'auto') -> Plan:
    """The plan of a sparse training with this share of the weights at the end, by RigL unless the recipe or `method`
    says otherwise. Without a density the changes set it.
    """

    pair = canonical_pair(model, dataset)
    selected = presets.select_recipe(recipe, presets.sparse_recipe(*pair))
    if density is not None and not 0 < density <= 1:
        raise LthError(f'--density {density:g}: give the share of weights to keep, above 0 and at most 1.')
    options = {'algorithm.density': density, 'algorithm.method': method, **changes.options}
    changes = Changes(changes.epochs, options, changes.overrides)
    changed = changes.apply({})
    section = sparse_training.with_method(selected.settings['algorithm'], _setting(changed, 'algorithm.method'))
    if recipe is None and _setting(changed, 'algorithm.density') is None:
        raise LthError('Give --density, the share of the weights that are active at the end, such as --density 0.1.')
    settings = {**selected.settings, 'algorithm': section}
    return plan_for(replace(selected, settings=settings), pair, changes, training_length(changes.epochs), device=device)


def converted_plan(
        conversion: Conversion, origin: str, changes: Changes = Changes(), *, model: str | None = None,
        dataset: str | None = None, density: float | None = None, device: str = 'auto') -> Plan:
    """The plan of converted rare-gems settings with the changes and the density, and a note on the settings that these
    replace. A model or data set must be that of the settings. `origin` is the name of their file.
    """

    if density is not None and 'density' not in conversion.recipe['algorithm']:
        raise LthError(f'{origin} is for {conversion.recipe["algorithm"]["name"]}, which prunes in rounds and has no '
                       'density. Leave out --sparsity and --density, or change the number of rounds with '
                       '--set algorithm.rounds=N.')
    user_code.require_trust(conversion.recipe)
    pair = _agreed_pair(conversion.recipe, model, dataset, origin)
    raw = _completed(conversion.recipe, pair)
    lengths, changes = _gem_lengths(raw, changes.epochs), _with_density(changes, density)
    changes = _with_starting_values(changes, raw, raw)
    replaced = [line.split(': ')[0] for line in differences(raw, changes.apply(raw, lengths))]
    note = f'options replace these settings of {origin}: {", ".join(replaced)}' if replaced else ''
    return plan_for(RawRecipe(raw, origin, note), pair, changes, lengths, device=device)


def gem_density(sparsity: float | None, density: float | None) -> float | None:
    """The share of weights to keep, from `sparsity`, the percentage that is kept, or `density`, the share; None if
    neither is given.
    """

    if sparsity is not None and density is not None:
        raise LthError('Both --sparsity and --density are given, and they are the same number: the percentage of '
                       'weights kept and the share. Give one of them.')
    if sparsity is not None and not 0 < sparsity <= 100:
        raise LthError(f'--sparsity {sparsity}: give the percentage of weights to keep, above 0 and at most 100.')
    if density is not None and not 0 < density <= 1:
        raise LthError(f'--density {density}: give the share of weights to keep, above 0 and at most 1.')
    return density if sparsity is None else float(Decimal(repr(float(sparsity))) / 100)


def gem_schedule(epochs: int) -> dict[str, Any]:
    """The learning-rate schedule of a gem that is finetuned for this number of epochs."""

    return {'name': 'multistep', 'milestones': [f'{epoch} epochs' for epoch in finetuning_milestones(epochs)]}


def training_length(epochs: int | None) -> dict[str, Any]:
    """The setting for a number of epochs, {} for None."""

    return {} if epochs is None else {'training.length': f'{epochs} epochs'}


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


def canonical_pair(model: str, dataset: str) -> tuple[str, str]:
    """Model and data set under their registered names. LthError if one is unknown, or if they are swapped."""

    if dataset in MODELS.names() and model in DATASETS.names():
        raise LthError(f'{quote(model)} is a data set and {quote(dataset)} is a model. Give the model first: '
                       f'{dataset} {model}.')
    return MODELS.canonical(model), DATASETS.canonical(dataset)


def _gem_algorithm(name: str) -> str:
    """The registered name of an algorithm that finds gems, given that name or its `gem_alias`."""

    known = ALGORITHMS.gem_names()
    if normalize_name(name) not in known:
        raise LthError(f'--algorithm: unknown algorithm {quote(name)}{suggestion(name, known.values())}')
    return known[normalize_name(name)]


def _with_density(changes: Changes, density: float | None) -> Changes:
    return replace(changes, options={'algorithm.density': density, **changes.options})


def _with_starting_values(changes: Changes, selected: Raw, published: Raw) -> Changes:
    """The changes, and where the settings start that they, or the selected recipe, set to `auto`."""

    values = starting_values(changes.apply(selected).get('algorithm'), published)
    return replace(changes, options={**changes.options, **values})


def _density_setting(changes: Changes) -> float:
    """The density of a gem that is set in the changes, as a sweep over densities does."""

    value = _setting(changes.apply({}), 'algorithm.density')
    if value is None:
        raise LthError('Give either --sparsity, the percentage of weights to keep, such as --sparsity 0.59, or '
                       '--density, the same as a share, such as --density 0.0059.')
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise LthError('algorithm.density: it should be the share of the weights to keep, above 0 and at most 1; it is '
                       f'{quote(value)}')
    return float(value)


def _nested(key: str, value: Any) -> Raw:
    """A dotted key and its value as nested dicts: _nested('a.b', 1) is {'a': {'b': 1}}."""

    for part in reversed(key.split('.')):
        value = {part: value}
    return dict(value)


def _setting(raw: Any, key: str) -> Any:
    """The value of a dotted key, None if it is absent."""

    for part in key.split('.'):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


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


def _agreed_pair(raw: Raw, model: str | None, dataset: str | None, origin: str) -> tuple[str, str]:
    """Model and data set of a converted recipe; LthError if others are given."""

    pair = canonical_pair(str(raw['model']['name']), str(raw['data']['name']))
    given = canonical_pair(model or pair[0], dataset or pair[1])
    for kind, key, own, other in zip(('MODEL', 'DATASET'), ('arch', 'dataset'), pair, given, strict=True):
        if own != other:
            raise LthError(f'{kind} is {quote(other)}, but the key {key} of {origin} means {quote(own)}. Leave {kind} '
                           f'out, or remove the key from the file.')
    return pair


def _completed(raw: Raw, pair: tuple[str, str]) -> Raw:
    """A converted recipe without the options that its model lacks; a data section that is only a name is that of the
    data set's own recipe.
    """

    known = settings_class(pair[0]).model_fields
    model = {key: value for key, value in raw['model'].items() if key in known} | {'name': pair[0]}
    data = raw['data']
    if data.keys() == {'name'}:
        data = presets.gem_recipe(*pair, 0.05).settings['data'] | {'name': pair[1]}
    return raw | {'model': model, 'data': data}


def _gem_lengths(raw: Raw, epochs: int | None) -> dict[str, Any]:
    """The settings that a number of epochs changes in a gem's recipe: length of the search and of finetuning."""

    if epochs is None:
        return {}
    has_finetune = 'finetune' in raw['algorithm']
    section, training = ('algorithm.finetune', raw['algorithm']['finetune']) if has_finetune else (
        'training', raw['training'])
    lengths: dict[str, Any] = {'training.length': f'{epochs} epochs', f'{section}.length': f'{epochs} epochs'}
    finds_gems = ALGORITHMS.find(raw['algorithm']['name']).settings.finds == 'gems'
    if finds_gems and training.get('schedule', {}).get('name') == 'multistep':
        lengths[f'{section}.schedule'] = gem_schedule(epochs)
    return lengths
