"""Verdict sentences of sanity checks, and the report in plain types."""
import pytest

from lth.analysis.sanity_report import CheckOutcome, DenseOutcome, SanityReport, dense_sentence, verdict_sentence
from lth.analysis.statistics import Comparison, Interval, verdict


def outcome(check: str, mean: float, margin: float | None, seeds: int = 5) -> CheckOutcome:
    """A check that the original beats by this difference."""

    comparison = Comparison(Interval(mean, margin, seeds), None if margin is None else 0.5)
    return CheckOutcome(check, [0.9] * seeds, Interval(0.9, 0.01, seeds), comparison, verdict(comparison), [])


@pytest.mark.parametrize(('check', 'mean', 'margin', 'sentence'), [
    ('reinit', 0.4, 0.025, 'survives: the ticket is better than re-initialized weights by 40.0 ± 2.5 points, n = 5'),
    ('reinit', 0.002, 0.004, 'fails: re-initialized weights do as well, 0.2 ± 0.4 points, n = 5'),
    ('erk', -0.002, 0.006, 'fails: a random mask by ERK does as well, −0.2 ± 0.6 points, n = 5'),
    ('erk', -0.05, 0.01, 'fails: a random mask by ERK does better, −5.0 ± 1.0 points, n = 5'),
    ('shuffle-weights', -0.05, 0.01, 'fails: its shuffled weights do better, −5.0 ± 1.0 points, n = 5'),
    ('half-data', 0.01, 0.03,
     'undecided: the ticket against the subnetwork found on half of the data: 1.0 ± 3.0 points, n = 5; more seeds are '
     'needed')])
def test_a_verdict_sentence_has_the_verdict_the_difference_and_its_interval(check, mean, margin, sentence):
    assert verdict_sentence(outcome(check, mean, margin), 'ticket') == sentence


@pytest.mark.parametrize(('mean', 'words'), [
    (0.05, '5.0 points better than its shuffled mask'), (-0.05, '5.0 points worse than its shuffled mask'),
    (0.0, 'as good as its shuffled mask, with a difference of 0.0 points')])
def test_a_verdict_sentence_with_one_seed_is_undecided(mean, words):
    assert verdict_sentence(outcome('shuffle-mask', mean, None, seeds=1), 'gem') == (
        f'undecided: the gem is {words}, n = 1: a single seed has no confidence interval')


def test_a_check_of_a_plugin_is_called_by_its_name():
    assert verdict_sentence(outcome('tiny-flip', 0.4, 0.025), 'ticket').startswith(
        'survives: the ticket is better than tiny-flip by')


@pytest.mark.parametrize(('mean', 'margin', 'words'), [
    (0.012, 0.004, '1.2 ± 0.4 points above it'), (-0.012, 0.004, '1.2 ± 0.4 points below it'),
    (-0.012, None, '1.2 points below it'), (0.0, 0.0, 'as good, with a difference of 0.0 ± 0.0 points'),
    (-0.0004, None, 'as good, with a difference of 0.0 points')])
def test_the_dense_network_is_compared_in_a_sentence(mean, margin, words):
    dense = DenseOutcome('dense', [0.9] * 5, Interval(0.9, 0.01, 5), outcome('dense', mean, margin).comparison, [])
    report = SanityReport(Interval(0.9, 0.01, 5), [0.9] * 5, dense, [])
    assert dense_sentence(report, 'ticket') == (
        f'dense: 90.00% trained in the same way; the ticket is {words}, n = 5')
