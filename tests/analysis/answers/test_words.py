"""Comparisons and p-values in words."""
import pytest

from lth.analysis.answers import words
from lth.analysis.statistics import compare_paired


@pytest.mark.parametrize(('first', 'says'), [
    ([0.93, 0.95], 'better than its copy by 4.00 ± 12.71 points, n = 2'),
    ([0.86], 'worse than its copy by 4.00 points, n = 1'),
    ([0.91, 0.89], 'as accurate as its copy, with a difference of 0.00 ± 12.71 points, n = 2')])
def test_a_network_is_better_worse_or_as_accurate(first, says):
    assert words.compared(compare_paired(first, [0.9] * len(first)), 'its copy') == says


@pytest.mark.parametrize(('p', 'says'), [(0.0312, 'p = 0.031'), (0.001, 'p = 0.001'), (6.4e-15, 'p < 0.001')])
def test_small_p_values_have_a_bound(p, says):
    assert words.p_value(p) == says
