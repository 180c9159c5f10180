"""Plans of imported runs: the recipe of a model and data set with the rounds of another program's run."""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lth.algorithms.imported import Settings, read_round
from lth.errors import LthError
from lth.experiments import setting_checks
from lth.experiments.changes import Changes
from lth.experiments.plan import Plan, make_plan
from lth.experiments.resolve import canonical_pair
from lth.foreign import FORMS, ForeignRun
from lth.foreign.fitted_rounds import FittedRound
from lth.foreign.forms import open_form
from lth.recipes import presets
from lth.recipes.schema import merge
from lth.system.yaml_text import Raw


class Import(NamedTuple):
    """What is imported: a form, a path, the model and data set (None: those that the files name), which layers belong
    together (`names`, OLD=NEW), and a file with the weights from before training.
    """

    form: str
    path: Path
    model: str | None = None
    dataset: str | None = None
    names: Sequence[str] = ()
    rewind: Path | None = None


class ImportPlan(NamedTuple):
    """The plan and the seeds that are imported."""

    plan: Plan
    seeds: list[int]


def import_plan(
        wanted: Import, changes: Changes = Changes(), *, seeds: Sequence[int] | None = None, device: str = 'auto',
) -> ImportPlan:
    """The plan of an import, whose rounds were all read and fit the network. LthError if they do not, or if the model
    or data set is unknown. `seeds` are by default all replicates.
    """

    setting_checks.refuse_computed([pair for pair in changes.overrides if pair[0].partition('.')[0] == 'algorithm'])
    found = open_form(wanted.form, wanted.path)
    pair = _pair(wanted, found)
    selected = list(found.rounds) if seeds is None else list(seeds)
    count = len(next(iter(found.rounds.values())))
    algorithm: Raw = {
        'name': 'imported', 'form': FORMS.canonical(wanted.form), 'path': str(wanted.path), 'digest': found.digest,
        'kept': [1] * count, 'start_epoch': found.start[0], 'start_iteration': found.start[1],
        'rewind': None if wanted.rewind is None else str(wanted.rewind), 'names': list(wanted.names)}
    raw = changes.apply(_recipe(wanted, found, pair) | {'algorithm': algorithm})
    raw = merge(raw, {'training': {'precision': raw['training'].get('precision', 'auto')}})
    notes = tuple(found.notes)
    plan = make_plan(raw, f'lth import {wanted.path}', notes, device=device)
    kept, note = _kept(plan, found, selected)
    exact = merge(plan.recipe.dump(), {'algorithm': {'kept': kept}})
    return ImportPlan(make_plan(exact, f'lth import {wanted.path}', (*notes, *note), device=device), selected)


def _pair(wanted: Import, found: ForeignRun) -> tuple[str, str]:
    """Model and data set; LthError if neither the user nor the files name them."""

    model, dataset = wanted.model or found.model, wanted.dataset or found.dataset
    missing = ['--model MODEL'] * (not model) + ['--dataset DATASET'] * (not dataset)
    if missing:
        raise LthError(f'{wanted.path} does not say which model and data set of lth it belongs to. Give '
                       f'{" and ".join(missing)}, such as --model lenet-300-100 --dataset mnist.')
    return canonical_pair(model, dataset)


def _recipe(wanted: Import, found: ForeignRun, pair: tuple[str, str]) -> Raw:
    """The recipe without its algorithm: that of the model and data set, with the settings that the files have."""

    default = presets.default_recipe(*pair).settings
    sections = {section: default.get(section, {}) for section in ('model', 'data', 'training')}
    if found.preset == 'gems':
        gem = presets.gem_recipe(*pair, 0.05).settings
        sections |= {'model': gem.get('model', {}), 'data': gem.get('data', {})}
        sections['training'] = gem['algorithm'].get('finetune') or sections['training']
    for section, settings in found.settings.items():
        sections[section] = merge(sections[section], settings)
    names = {'model': {'name': pair[0]}, 'data': {'name': pair[1]}}
    return merge({**sections, 'source': f'imported from {wanted.path} ({FORMS.canonical(wanted.form)})'}, names)


def _kept(plan: Plan, found: ForeignRun, seeds: Sequence[int]) -> tuple[list[int], list[str]]:
    """The number of weights in each round, the largest over seeds, and notes. All rounds are read."""

    settings = plan.recipe.algorithm
    assert isinstance(settings, Settings)
    counts, notes = list[int](), list[str]()
    for number in range(len(settings.kept)):
        fitted = [read_round(plan.network, found, settings, seed, number) for seed in seeds]
        counts.append(max(int(one.mask.sum()) for one in fitted))
        notes = notes or _notes(fitted, settings)
    return counts, notes


def _notes(fitted: Sequence[FittedRound], settings: Settings) -> list[str]:
    """What the user should know about a round of all seeds."""

    names = fitted[0].names
    other = next((own for own, theirs in names.items() if own != theirs), None)
    notes = list[str]()
    if other and not settings.names:
        notes.append(f'the layers have other names in the files, and are matched in their order: {names[other]} is '
                     f'{other}. --names OLD=NEW matches them otherwise')
    if any(one.start is None for one in fitted):
        notes.append('the files have no weights from before training, so these rounds can be measured, but not trained '
                     'again: --rewind FILE adds the weights')
    return notes


def import_folder(plan: Plan) -> str:
    """The default name of the run."""

    return f'{plan.recipe.model.name}-{plan.recipe.data.name}-imported'
