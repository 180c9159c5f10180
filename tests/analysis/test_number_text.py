"""Numbers that may be negative, as text."""
import pytest

from lth.analysis.html_report import cells
from lth.analysis.number_text import signed
from lth.analysis.statistics import Interval
from lth.cli import tables


@pytest.mark.parametrize(('value', 'form', 'plain', 'with_plus'), [
    (-0.0512, '.3g', '−0.0512', '−0.0512'), (1234.5, ',.2f', '1,234.50', '+1,234.50'),
    (-1234.5, ',.1f', '−1,234.5', '−1,234.5'),
    (-0.004, '.2f', '0.00', '+0.00'), (0., '.2f', '0.00', '+0.00'), (-0., 'g', '0', '+0'), (-2., 'g', '−2', '−2')])
def test_negative_numbers_have_a_minus_sign_and_those_rounded_to_nothing_have_none(value, form, plain, with_plus):
    assert (signed(value, form), signed(value, form, plus=True)) == (plain, with_plus)


def test_means_in_tables_and_pages_have_the_same_signs():
    little, loss = Interval(-0.00004, 0.001, 3), Interval(-0.0142, None, 1)
    assert [tables.percent(little), tables.percent(loss), tables.number(loss)] == ['0.00 ± 0.10', '−1.42', '−0.0142']
    assert [cells.mean_points(little).text, cells.mean_points(loss).text] == ['+0.00 ± 0.10', '−1.42']
    assert cells.mean_number(Interval(-0.001, 0.5, 3)).text == '0.00 ± 0.50'
