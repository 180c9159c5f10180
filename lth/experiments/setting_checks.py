"""Settings that a command refuses: those that it computes itself, those of other commands, rounds that prune nothing.
"""
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lth.algorithms import ALGORITHMS
from lth.errors import LthError, quote
from lth.experiments.plan import Plan
from lth.registry.registry import normalize_name

# Besides those of the algorithm, and what changes them instead.
_FROM_SOURCE = {'model.name': 'Search for tickets of the other model.',
                'data.name': 'Name another data set by --dataset of lth finetune, or by --to of lth transfer.'}


def refuse_computed(overrides: Sequence[tuple[str, Any]]) -> None:
    """LthError if the overrides (dotted key, value) change what a run that starts from another one takes from there."""

    for key in itertools.chain.from_iterable(_dotted_keys(*override) for override in overrides):
        if key.split('.')[0] == 'algorithm' or key in _FROM_SOURCE:
            advice = _FROM_SOURCE.get(key, 'Choose the run, its seed and its round by RUN/seed-S/round-NN.')
            raise LthError(f'{quote(key)} cannot be set, as its value comes from the run that is the source. {advice}')


def refuse_other_pair(overrides: Sequence[tuple[str, Any]], pair: tuple[str, str]) -> None:
    """LthError if an override (dotted key, value) names another model or data set than the arguments of the command."""

    named = {'model.name': ('model', 'first', pair[0]), 'data.name': ('data set', 'second', pair[1])}
    for key, value in itertools.chain.from_iterable(_settings(*override) for override in overrides):
        if key in named and normalize_name(str(value)) != normalize_name(named[key][2]):
            kind, place, name = named[key]
            raise LthError(f'{key}: the {kind} is the {place} argument of the command, {quote(name)}. Give '
                           f'{quote(str(value))} there.')


def refuse_contradictions(options: Mapping[str, Any], overrides: Sequence[tuple[str, Any]]) -> None:
    """LthError if an override (dotted key, value) sets what one of the options or another override sets."""

    given = [key for key, value in options.items() if value is not None]
    for override in overrides:
        keys = list(_dotted_keys(*override))
        for key, other in itertools.product(keys, given):
            if f'{key}.'.startswith(f'{other}.'):
                raise LthError(f'{quote(key)} is set twice: by the settings and by an option or another setting. '
                               'Leave out one of them.')
        given += keys


def refuse_other_command(algorithm: Any) -> None:
    """LthError if these settings of an algorithm, in a search for tickets, need another command."""

    name = algorithm.get('name') if isinstance(algorithm, dict) else None
    if not isinstance(name, str) or normalize_name(name) not in map(normalize_name, ALGORITHMS.names()):
        return
    settings = ALGORITHMS.find(name).settings
    commands = {
        'gems': f'finds gems. Use: lth find-gem MODEL DATASET --sparsity PERCENT --algorithm '
                f'{settings.gem_alias or name}',
        'sparse networks': 'trains a sparse network and finds no tickets. Use: lth train-sparse MODEL DATASET --method '
                           'NAME --density SHARE'}
    if settings.finds in commands and 'density' not in algorithm:
        raise LthError(f'algorithm.name: {quote(name)} {commands[settings.finds]}')
    if settings.reads_files:
        raise LthError(f'algorithm.name: {quote(name)} reads files of another program. Use: lth import FORM PATH')
    if settings.needs_source and 'source' not in algorithm:
        raise LthError(f'algorithm.name: {quote(name)} starts from the tickets of another run. Search for tickets '
                       'first, then use lth finetune, lth transfer, or --controls.')


def refuse_idle_rounds(plan: Plan) -> None:
    """LthError if the last rounds would prune nothing, because the pruning rate is less than one weight."""

    counts = enumerate(itertools.pairwise(plan.kept), 1)
    idle = [number for number, (before, after) in counts if before == after]
    if idle and plan.recipe.algorithm.trains == 'each':
        last = idle[0] - 1
        raise LthError(f'algorithm.rounds: after round {last}, which keeps {plan.kept[last]:,} weights, nothing would '
                       f'be pruned, as the pruning rate is less than one weight. Give at most {last} rounds (-i), or a '
                       'higher rate.')


def refuse_missing_functions(plan: Plan) -> None:
    """LthError if a function of the user that prunes, such as the criterion `file.py:function`, cannot be imported."""

    for registry, name in plan.recipe.algorithm.entries():
        registry.find(name)


def _dotted_keys(key: str, value: Any) -> Iterator[str]:
    """The keys of all settings in a value: of 'a' and {'b': 1} it is 'a.b'."""

    return (name for name, _ in _settings(key, value))


def _settings(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The keys and values of all settings in a value: of 'a' and {'b': 1} it is ('a.b', 1)."""

    if not isinstance(value, Mapping) or not value:
        yield key, value
    else:
        for name, part in value.items():
            yield from _settings(f'{key}.{name}', part)
