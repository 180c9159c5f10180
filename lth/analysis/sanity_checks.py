"""Sanity checks of tickets and gems: each changes one thing and is finetuned exactly like the original.

Controls change the ticket itself (lth/pruning/controls.py). Searches repeat the search under a condition that should
find nothing as good, and finetune what it finds. All checks have the seeds and data order of the original. Each is a
run of its own, so it can be resumed and evaluated. To add a search, add it to `SEARCHES` and to `_search_recipe`.
"""
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lth.errors import LthError, quote, suggestion
from lth.experiments import derived_runs
from lth.experiments.changes import Changes
from lth.experiments.derived_plans import finetune_length
from lth.experiments.open_run import SourceRound, open_source
from lth.experiments.plan import Plan, make_plan
from lth.experiments.setting_checks import refuse_computed
from lth.pruning.changed_tickets import control_obstacle
from lth.pruning.controls import CONTROLS, STANDARDS, available_controls
from lth.recipes.schema import merge
from lth.runs.run_path import RunPath
from lth.system.yaml_text import Raw

SEARCHES = {
    'invert-scores': 'A new search that keeps the smallest scores instead of the largest.',
    'random-labels': 'A new search on images with random labels (Su et al. 2020).',
    'half-data': 'A new search on half of the training images, with the same number of iterations (Su et al. 2020).'}
_DEFAULT_SEEDS = 3
_EPOCHS = re.compile(r'(\d+) epochs?')


class CheckRun(NamedTuple):
    """A run that a check needs. `what` is the name of the check, or the name with ': searching' for its search."""

    check: str
    what: str
    plan: Plan
    folder: Path


def available_checks() -> dict[str, str]:
    """Every check with its description."""

    return available_controls() | SEARCHES


def open_checked(path: RunPath, *, seeds: Sequence[int] | None = None, number: int | None = None) -> SourceRound:
    """The round to check, by default the last, of these seeds, by default the first three. LthError if its tickets
    cannot be checked.
    """

    source = open_source(path, seeds=seeds, number=number, most_seeds=_DEFAULT_SEEDS)
    folder = source.run.folder
    if source.plan.recipe.algorithm.needs_source:
        raise LthError(f'{folder} trains tickets that another run found. Check that run, {source.run.source_folder()}: '
                       'its tickets are finetuned again together with the controls.')
    if source.kept == source.plan.network.layout.prunable_count:
        last = len(source.plan.kept) - 1
        later = f'Choose a later round, such as --round {last}.'
        remedy = later if last > source.number else 'Search for a sparser one.'
        raise LthError(f'Round {source.number} of {folder} is the dense network, which has no mask to check. {remedy}')
    return source


def select_checks(names: Sequence[str] | None, source: SourceRound) -> tuple[list[str], list[str]]:
    """The checks to do, by default all that are possible for the round, and notes on those that are not. LthError for
    a given name that is unknown or not possible.
    """

    selected, notes = [], []
    for name in available_checks() if names is None else names:
        if name not in available_checks():
            raise LthError(f'--checks: unknown check {quote(name)}{suggestion(name, available_checks())}')
        obstacle = _obstacle(name, source)
        if obstacle and names is not None:
            raise LthError(f'--checks {name}: {obstacle}.')
        if obstacle:
            notes.append(f'{name} is left out: {obstacle}')
        else:
            selected.append(name)
    return selected, notes


def check_runs(
        source: SourceRound, folder: Path, names: Sequence[str], changes: Changes = Changes()) -> Iterator[CheckRun]:
    """The runs of the checks in order, first the original and the dense network; `changes` apply to their finetuning.
    """

    refuse_computed(changes.overrides)
    lengths = finetune_length(source, changes.epochs)
    for name in (*STANDARDS, *names):
        control, search = name, None
        if name in SEARCHES:
            control, search = 'original', folder / f'{name}-search'
            yield CheckRun(name, f'{name}: searching', make_plan(_search_recipe(name, source), name), search)
        raw = derived_runs.derived_recipe(source, folder / name, control=control, found_in=search)
        yield CheckRun(name, name, derived_runs.derived_plan(source, changes.apply(raw, lengths), name), folder / name)


def checks_with_weights(
        steps: Sequence[CheckRun], seeds: Sequence[int], *, named: Sequence[str] | None, restart: bool,
) -> tuple[list[CheckRun], list[str]]:
    """The runs of the checks without those whose weights are missing in the run that is checked, since the option
    --keep removed them, and notes on these. LthError if one of these checks is `named`, or if all need them.
    """

    moved = [os.path.abspath(step.folder) for step in steps if restart]
    complete, notes = list[CheckRun](), list[str]()
    for step in steps:
        missing = derived_runs.missing_source_weights(step.plan, step.folder, seeds, moved=moved)
        if missing and (step.check in STANDARDS or named is not None):
            raise missing.error(f', from which the check {step.check} starts')
        if missing:
            notes.append(f'{step.check} is left out: {missing.sentence()}')
        else:
            complete.append(step)
    return complete, notes


def _obstacle(name: str, source: SourceRound) -> str | None:
    """Why a check is not possible for the round, None if it is."""

    settings, network = source.plan.recipe.algorithm, source.plan.network
    if name in SEARCHES and settings.origin:
        return f'the run was {settings.origin}, so lth cannot repeat its search'
    if name in ('random-labels', 'half-data') and not settings.depends_on_data:
        return f'{settings.name} does not use the data'
    if name not in SEARCHES and (obstacle := control_obstacle(name, settings, network)):
        return obstacle
    try:
        if name in SEARCHES:
            make_plan(_search_recipe(name, source), name)
        elif layer_counts := CONTROLS.find(name).layer_counts:
            layer_counts(network.layout.prunable_slots, source.kept)
    except LthError as error:
        return str(error).rstrip('.')
    return None


def _search_recipe(name: str, source: SourceRound) -> Raw:
    """The recipe of the search under the condition of a check. LthError if the search has no such condition."""

    raw = source.plan.recipe.dump()
    raw['source'] = f'{source.run.folder}, {name}'
    if 'rounds' in raw['algorithm']:
        raw['algorithm']['rounds'] = source.number
    if name == 'random-labels':
        return merge(raw, {'data': {'labels': 'random'}})
    if name == 'half-data':
        return merge(_in_iterations(raw, source.plan.steps_per_epoch), {'data': {'share': raw['data']['share'] / 2}})
    return merge(raw, {'algorithm': source.plan.recipe.algorithm.inverted()})


def _in_iterations(raw: Raw, steps_per_epoch: int) -> Raw:
    """The recipe with the search's lengths in iterations, which do not depend on the number of images."""

    return raw | {section: _lengths_in_iterations(raw[section], steps_per_epoch)
                  for section in ('training', 'algorithm')}


def _lengths_in_iterations(value: Any, steps_per_epoch: int) -> Any:
    """A setting, or settings within settings, with epochs replaced; `finetune` trains on all images and is kept."""

    if isinstance(value, dict):
        return {key: part if key == 'finetune' else _lengths_in_iterations(part, steps_per_epoch)
                for key, part in value.items()}
    if isinstance(value, list):
        return [_lengths_in_iterations(part, steps_per_epoch) for part in value]
    match = _EPOCHS.fullmatch(value) if isinstance(value, str) else None
    return f'{int(match[1]) * steps_per_epoch} iterations' if match else value
