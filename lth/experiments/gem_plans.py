"""Plans of searches for gems, which keep a given share of the weights: from names and settings, or a rare-gems file."""
from dataclasses import replace
from decimal import Decimal
from typing import Any

from lth.algorithms import ALGORITHMS
from lth.errors import LthError, quote, suggestion
from lth.experiments.changes import Changes, setting_at
from lth.experiments.plan import Plan
from lth.experiments.resolve import canonical_pair, check_density, plan_for
from lth.experiments.starting_values import starting_values
from lth.models.registry import settings_class
from lth.recipes import presets
from lth.recipes.presets import RawRecipe
from lth.recipes.rare_gems import Conversion, finetuning_milestones
from lth.recipes.schema import differences
from lth.registry import user_code
from lth.registry.registry import normalize_name
from lth.system.yaml_text import Raw


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
    check_density(density)
    return density if sparsity is None else float(Decimal(repr(float(sparsity))) / 100)


def gem_schedule(epochs: int) -> dict[str, Any]:
    """The learning-rate schedule of a gem that is finetuned for this number of epochs."""

    return {'name': 'multistep', 'milestones': [f'{epoch} epochs' for epoch in finetuning_milestones(epochs)]}


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

    value = setting_at(changes.apply({}), 'algorithm.density')
    if value is None:
        raise LthError('Give either --sparsity, the percentage of weights to keep, such as --sparsity 0.59, or '
                       '--density, the same as a share, such as --density 0.0059.')
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise LthError('algorithm.density: it should be the share of the weights to keep, above 0 and at most 1; it is '
                       f'{quote(value)}')
    return float(value)


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
