"""Sanity checks of what a run found: each a change, finetuned exactly like the original, on the same seeds and order.

Controls change the ticket itself (`controls.py`); searches repeat the whole search under a condition in which it must
not find anything as good, and finetune what that finds. Each check is a run of its own in one folder, so all of them
resume, and `lth evaluate` reads them. A new search is a line in `SEARCHES` and a branch in `_searched`.
"""
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lth.errors import LthError, suggestion
from lth.experiments import derived_runs
from lth.experiments.derived_plans import finetune_length
from lth.experiments.open_run import RunPath, SourceRound, open_source
from lth.experiments.plan import Plan, make_plan
from lth.experiments.resolve import Changes
from lth.pruning.controls import CONTROLS, STANDARDS, available_controls, control_obstacle
from lth.recipes.schema import merge
from lth.system.files import Raw

SEARCHES = {
    'invert-scores': 'A whole new search that keeps the smallest scores where it kept the largest.',
    'random-labels': 'A whole new search on pictures with random labels (Su et al. 2020).',
    'half-data': 'A whole new search on half of the training pictures, as long as before (Su et al. 2020).'}
_DEFAULT_SEEDS = 3
_EPOCHS = re.compile(r'(\d+) epochs?')


class CheckRun(NamedTuple):
    """One run that a check needs, in order; `what` is the check itself, or its search before it."""

    check: str
    what: str
    plan: Plan
    folder: Path


def available_checks() -> dict[str, str]:
    """Every check with what it does."""

    return available_controls() | SEARCHES


def select_checks(names: Sequence[str] | None, source: SourceRound) -> tuple[list[str], list[str]]:
    """The checks to do and why others are left out: those that were named, else all that apply to the run. An LthError
    for a name that is none, or a check that cannot be done.
    """

    done, left_out = [], []
    for name in available_checks() if names is None else names:
        if name not in available_checks():
            raise LthError(f'--checks: unknown check {name!r}{suggestion(name, available_checks())}')
        reason = _impossible(name, source)
        if reason is None:
            done.append(name)
        elif names is None:
            left_out.append(f'{name} is left out: {reason}')
        else:
            raise LthError(f'--checks {name}: {reason}.')
    return done, left_out


def open_checked(path: RunPath, *, seeds: Sequence[int] | None = None, number: int | None = None) -> SourceRound:
    """The round to check, by default the last, of these seeds, by default the first three. LthError if its tickets
    cannot be checked.
    """

    source = open_source(path, seeds=seeds, number=number, most_seeds=_DEFAULT_SEEDS)
    _refuse_unfit(source)
    return source


def _refuse_unfit(source: SourceRound) -> None:
    folder, settings = source.run.folder, source.plan.recipe.dump()['algorithm']
    if source.plan.recipe.algorithm.needs_source:
        found = os.path.normpath(folder / settings['source'])
        raise LthError(f'{folder} is a run that trains what another found: check that one, {found}, and it is '
                       'finetuned anew beside its controls.')
    if source.kept == source.plan.network.layout.prunable_count:
        last = len(source.plan.kept) - 1
        raise LthError(f'Round {source.number} of {folder} is the dense network: there is no mask to be checked. '
                       + (f'Choose a later round, such as --round {last}.' if last > source.number else
                          'Search for a sparser one first.'))


def check_runs(
        source: SourceRound, folder: Path, names: Sequence[str], changes: Changes = Changes()) -> Iterator[CheckRun]:
    """The runs of the checks in order, first the original and the dense network; `changes` apply to their finetuning.
    """

    lengths = finetune_length(source, changes.epochs)
    for name in (*STANDARDS, *names):
        searched = None
        if name in SEARCHES:
            searched = folder / f'{name}-search'
            yield CheckRun(name, f'{name}: searching', make_plan(_searched(name, source), name), searched)
        raw = derived_runs.derived_recipe(source, folder / name, control=name if name not in SEARCHES else 'original',
                                searched=searched)
        yield CheckRun(name, name, derived_runs.derived_plan(source, changes.apply(raw, lengths), name), folder / name)


def _impossible(name: str, source: SourceRound) -> str | None:
    """Why a check cannot be done with a run, None if it can."""

    settings = source.plan.recipe.algorithm
    if name in ('random-labels', 'half-data') and not settings.uses_data:
        return f'{settings.name} does not use the data'
    if name not in SEARCHES and (why := control_obstacle(name, settings, source.plan.network)):
        return why
    return _unworkable(name, source)


def _unworkable(name: str, source: SourceRound) -> str | None:
    """Why the counts alone forbid a check."""

    try:
        if name not in SEARCHES and (layer_counts := CONTROLS.find(name).layer_counts):
            layer_counts(source.plan.network.layout.prunable_slots, source.kept)
        if name in SEARCHES:
            make_plan(_searched(name, source), name)
    except LthError as error:
        return str(error).rstrip('.')
    return None


def _searched(name: str, source: SourceRound) -> Raw:
    """The recipe of the search under the condition of a check."""

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
    """A search whose lengths do not change with the number of pictures."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: part if key == 'finetune' else changed(part) for key, part in value.items()}
        if isinstance(value, list):
            return [changed(part) for part in value]
        match = _EPOCHS.fullmatch(value) if isinstance(value, str) else None
        return f'{int(match[1]) * steps_per_epoch} iterations' if match else value
    return raw | {section: changed(raw[section]) for section in ('training', 'algorithm')}
