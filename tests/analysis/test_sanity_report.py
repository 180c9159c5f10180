"""Verdicts in words."""
import pytest

from lth.analysis.sanity_report import CheckOutcome, verdict_sentence
from lth.analysis.statistics import compare_paired, confidence_interval, verdict


@pytest.mark.parametrize(('check', 'words'), [('erk', 'a random mask by ERK'), ('tiny-flip', 'tiny-flip')])
def test_a_check_is_told_in_words_and_one_of_a_plug_in_by_its_name(check, words):
    worse = [0.50, 0.52, 0.51]
    comparison = compare_paired([0.90, 0.91, 0.92], worse)
    outcome = CheckOutcome(check, worse, confidence_interval(worse), comparison, verdict(comparison), [])
    # 0.01 · t(0.975, 2) / √3
    assert verdict_sentence(outcome, 'ticket') == f'survives: the ticket beats {words} by 40.0 ± 2.5 points, n = 3'
