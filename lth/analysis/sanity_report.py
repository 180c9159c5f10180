"""The report of sanity checks: accuracies, differences paired by seed with intervals, and a verdict in words for each.

To describe a new check in words, add it to `_WORDS`.
"""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from lth.analysis.answers.words import larger_or_equal
from lth.analysis.json_output import checks as check_output
from lth.analysis.json_output.values import Mean, percent
from lth.analysis.number_text import with_margin
from lth.analysis.sanity_checks import SEARCHES
from lth.analysis.statistics import Comparison, Interval, Verdict, compare_paired, confidence_interval, verdict
from lth.errors import LthError
from lth.experiments.open_run import SourceRound
from lth.pruning.ticket_differences import TicketDifference, compare_tickets
from lth.pruning.tickets import initial_ticket
from lth.runs.folder import Run

# What the ticket is compared with, and whether that is singular (does) or plural (do).
_WORDS = {
    'reinit': ('re-initialized weights', 'do'), 'initial-weights': ('its initial weights', 'do'),
    'signs': ('new magnitudes with its trained signs', 'do'),
    'start-signs': ('new magnitudes with its initial signs', 'do'),
    'signs-norm': ('new magnitudes with its trained signs and normalization', 'do'),
    'shuffle-mask': ('its shuffled mask', 'does'),
    'permute-mask': ('its mask permuted over the network', 'does'), 'shuffle-weights': ('its shuffled weights', 'do'),
    'smart-ratio': ('a random mask by smart ratio', 'does'), 'erk': ('a random mask by ERK', 'does'),
    'invert-scores': ('the subnetwork of the inverted search', 'does'),
    'random-labels': ('the subnetwork found on random labels', 'does'),
    'half-data': ('the subnetwork found on half of the data', 'does')}


class CheckOutcome(NamedTuple):
    """A check: its test accuracies over seeds, the original minus the check, and what was changed for each seed."""

    check: str
    accuracies: list[float]
    accuracy: Interval
    comparison: Comparison
    verdict: Verdict
    changes: list[TicketDifference]


class DenseOutcome(NamedTuple):
    """The dense network trained in the same way: a reference, which has no verdict. Fields as of a CheckOutcome."""

    check: str
    accuracies: list[float]
    accuracy: Interval
    comparison: Comparison
    changes: list[TicketDifference]


class SanityReport(NamedTuple):
    """All checks of a round, with the original and the dense network trained in the same way."""

    original: Interval
    accuracies: list[float]
    dense: DenseOutcome
    checks: list[CheckOutcome]


def make_report(source: SourceRound, names: Sequence[str], run_of: Callable[[str], Run]) -> SanityReport:
    """The report on these checks, from the files of their runs; `run_of` returns the run of a check by its name."""

    accuracies = [_accuracy(run_of('original'), seed) for seed in source.seeds]
    dense, *checks = (_outcome(source, name, accuracies, run_of) for name in ('dense', *names))
    reference = DenseOutcome(dense.check, dense.accuracies, dense.accuracy, dense.comparison, dense.changes)
    return SanityReport(confidence_interval(accuracies), accuracies, reference, checks)


def verdict_sentence(outcome: CheckOutcome, subject: str) -> str:
    """The verdict in words; `subject` is 'ticket' or 'gem'."""

    words, verb = _WORDS.get(outcome.check, (outcome.check, 'does'))
    mean, margin, count = difference = outcome.comparison.difference
    if margin is None:
        size = _points(difference._replace(mean=abs(mean)))
        comparison = larger_or_equal(
            mean, size, f'{size} better than {words}', f'{size} worse than {words}', f'as good as {words}')
        return f'undecided: the {subject} is {comparison}, n = 1: a single seed has no confidence interval'
    amount = f'{_points(difference)}, n = {count}'
    if outcome.verdict == 'survives':
        return f'survives: the {subject} is better than {words} by {amount}'
    if outcome.verdict == 'undecided':
        return f'undecided: the {subject} against {words}: {amount}; more seeds are needed'
    equality = 'better' if mean + margin < 0 else 'as well'
    return f'fails: {words} {verb} {equality}, {amount}'


def dense_sentence(report: SanityReport, subject: str) -> str:
    """How the ticket or gem compares with the dense network."""

    difference = report.dense.comparison.difference
    size = _points(difference._replace(mean=abs(difference.mean)))
    comparison = larger_or_equal(difference.mean, size, f'{size} above it', f'{size} below it', 'as good')
    return (f'dense: {100 * report.dense.accuracy.mean:.2f}% trained in the same way; the {subject} is {comparison}, '
            f'n = {difference.n}')


def output(report: SanityReport, source: SourceRound) -> check_output.SanityReport:
    """The report as it is printed with --json; differences are the original minus the check."""

    original = check_output.Original(
        accuracy_percent=Mean.of_shares(report.original), accuracies_percent=list(map(percent, report.accuracies)))
    dense = check_output.Reference(**_output_fields(report.dense, dense_sentence(report, source.subject)))
    checks = [check_output.Check(
        verdict=outcome.verdict, **_output_fields(outcome, verdict_sentence(outcome, source.subject)))
        for outcome in report.checks]
    return check_output.SanityReport(
        run=source.run.folder, round=source.number, kept=source.kept, seeds=list(source.seeds), original=original,
        dense=dense, checks=checks)


def _output_fields(outcome: CheckOutcome | DenseOutcome, sentence: str) -> dict[str, Any]:
    return {'check': outcome.check, 'accuracy_percent': Mean.of_shares(outcome.accuracy),
            'accuracies_percent': list(map(percent, outcome.accuracies)),
            'difference_points': Mean.of_shares(outcome.comparison.difference), 'p': outcome.comparison.p,
            'changes': [_output_change(change) for change in outcome.changes], 'sentence': sentence}


def _output_change(change: TicketDifference) -> check_output.Change:
    return check_output.Change(**{**change._asdict(), 'emptied': list(change.emptied)})


def _outcome(
        source: SourceRound, name: str, originals: Sequence[float], run_of: Callable[[str], Run]) -> CheckOutcome:
    """The outcome of one check. LthError if its search found the mask of the original."""

    run = run_of(name)
    changes = [_difference(source, run_of('original'), run, seed) for seed in source.seeds]
    if name in SEARCHES and not all(change.positions for change in changes):
        raise LthError(f'The check {name} proves nothing: its search found the same mask as the original. Leave it out '
                       'with --checks.')
    accuracies = [_accuracy(run, seed) for seed in source.seeds]
    comparison = compare_paired(originals, accuracies)
    return CheckOutcome(name, accuracies, confidence_interval(accuracies), comparison, verdict(comparison), changes)


def _accuracy(run: Run, seed: int) -> float:
    return run.record(seed, 0).test_accuracy


def _difference(source: SourceRound, original: Run, run: Run, seed: int) -> TicketDifference:
    """What differs between the tickets that were trained, according to their files."""

    initial = source.run.load_ticket(seed, 0)
    if not initial.mask.all():
        initial = initial_ticket(source.plan.network, [seed], torch.device('cpu'))
    before, after = original.load_ticket(seed, 0), run.load_ticket(seed, 0)
    return compare_tickets(source.plan.network.layout, initial, before, after)[0]


def _points(difference: Interval) -> str:
    return f'{with_margin(difference, ".1f", scale=100)} points'
