"""What came of sanity checks: accuracies, paired differences with their intervals, and a verdict in words for each."""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from lth.analysis.sanity_checks import SEARCHES
from lth.analysis.statistics import Comparison, Interval, Verdict, compare_paired, confidence_interval, verdict
from lth.errors import LthError
from lth.experiments.open_run import SourceRound
from lth.pruning.controls import TicketDifference, compare_tickets
from lth.pruning.tickets import initial_ticket
from lth.runs.folder import Run

# What is beaten, and whether it is one thing or several.
_WORDS = {
    'reinit': ('re-initialised weights', 'do'), 'shuffle-mask': ('its shuffled mask', 'does'),
    'permute-mask': ('its mask permuted over the network', 'does'), 'shuffle-weights': ('its shuffled weights', 'do'),
    'smart-ratio': ('a random mask by smart ratio', 'does'), 'erk': ('a random mask by ERK', 'does'),
    'invert-scores': ('what the inverted search finds', 'does'),
    'random-labels': ('what is found on random labels', 'does'),
    'half-data': ('what is found on half the data', 'does')}


class CheckOutcome(NamedTuple):
    """A check: test accuracy over seeds, how much better the original is, and what really was changed, seed by seed."""

    check: str
    accuracies: list[float]
    accuracy: Interval
    comparison: Comparison
    verdict: Verdict
    changes: list[TicketDifference]


class SanityReport(NamedTuple):
    """All checks of a run, the original and the dense network beside them."""

    original: Interval
    accuracies: list[float]
    dense: CheckOutcome
    checks: list[CheckOutcome]


def make_report(source: SourceRound, names: Sequence[str], opened: Callable[[str], Run]) -> SanityReport:
    """What came of the checks, all read from the files of their runs."""

    accuracies = [_accuracy(opened('original'), seed) for seed in source.seeds]
    outcomes = {name: _outcome(source, name, accuracies, opened) for name in ('dense', *names)}
    return SanityReport(confidence_interval(accuracies), accuracies, outcomes.pop('dense'), list(outcomes.values()))


def verdict_sentence(outcome: CheckOutcome, thing: str) -> str:
    """The verdict in words."""

    words, verb = _WORDS.get(outcome.check, (outcome.check, 'does'))
    mean, margin, count = outcome.comparison.difference
    if margin is None:
        return (f'undecided: the {thing} is {_points(abs(mean))} points {"better" if mean >= 0 else "worse"} than '
                f'{words}, n = 1: with one seed no interval can be given')
    amount = f'{_points(mean)} ± {100 * margin:.1f}'
    if outcome.verdict == 'fails' and mean + margin < 0:
        return f'fails: {words} {verb} better, {amount} points, n = {count}'
    return {
        'survives': f'survives: the {thing} beats {words} by {amount} points, n = {count}',
        'fails': f'fails: {words} {verb} as well, {amount} points, n = {count}',
        'undecided': f'undecided: against {words} {amount} points, n = {count}: more seeds would tell',
    }[outcome.verdict]


def dense_sentence(found: SanityReport, thing: str) -> str:
    """How the dense network compares, trained in the same way."""

    mean, margin, count = found.dense.comparison.difference
    spread = '' if margin is None else f' ± {100 * margin:.1f}'
    return (f'dense: {100 * found.dense.accuracy.mean:.2f}% trained in the same way; the {thing} is '
            f'{100 * abs(mean):.1f}{spread} points {"above" if mean > 0 else "below"} it, n = {count}')


def as_dict(found: SanityReport, source: SourceRound, thing: str) -> dict[str, Any]:
    """The report in plain types; accuracies are shares, differences original minus control."""

    return {'run': str(source.run.folder), 'round': source.number, 'kept': source.kept, 'seeds': list(source.seeds),
            'original': {**found.original._asdict(), 'accuracies': found.accuracies},
            'dense': _outcome_object(found.dense) | {'sentence': dense_sentence(found, thing)},
            'checks': [_outcome_object(one) | {'sentence': verdict_sentence(one, thing)} for one in found.checks]}


def _outcome_object(one: CheckOutcome) -> dict[str, Any]:
    return {'check': one.check, 'accuracy': one.accuracy._asdict(), 'accuracies': one.accuracies,
            'difference': one.comparison.difference._asdict(), 'p': one.comparison.p,
            'verdict': one.verdict, 'changes': [change._asdict() for change in one.changes]}


def _outcome(source: SourceRound, name: str, originals: Sequence[float], opened: Callable[[str], Run]) -> CheckOutcome:
    run = opened(name)
    found = [_changed(source, opened('original'), run, seed) for seed in source.seeds]
    if name in SEARCHES and not all(change.positions for change in found):
        raise LthError(f'The check {name} proves nothing: its search found the very mask of the original. Leave it out '
                       'with --checks.')
    accuracies = [_accuracy(run, seed) for seed in source.seeds]
    comparison = compare_paired(originals, accuracies)
    return CheckOutcome(name, accuracies, confidence_interval(accuracies), comparison, verdict(comparison), found)


def _accuracy(run: Run, seed: int) -> float:
    return float(run.header(seed, 0)['test_accuracy'])


def _changed(source: SourceRound, original: Run, run: Run, seed: int) -> TicketDifference:
    """What really differs between the tickets that were trained, from their files."""

    first = source.run.load_round(seed, 0).ticket
    if not first.mask.all():
        first = initial_ticket(source.plan.network, [seed], torch.device('cpu'))
    before, after = original.load_round(seed, 0).ticket, run.load_round(seed, 0).ticket
    return compare_tickets(source.plan.network.layout, first, before, after)[0]


def _points(share: float) -> str:
    return f'{100 * share:.1f}'.replace('-', '−')
