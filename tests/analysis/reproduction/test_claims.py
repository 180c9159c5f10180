"""Claims next to measurements: signs, units, levels and verdicts by hand."""
from pathlib import Path

import pytest

from lth.analysis.papers import Claim, Side
from lth.analysis.reproduction import claims, measures
from lth.analysis.reproduction.claims import ClaimResult, check_claims
from lth.analysis.reproduction.measures import NotMeasured, Outcome

OUTCOMES = {'a': Outcome(Path('a'), (0, 1, 2)), 'b': Outcome(Path('b'), (0, 1, 2))}


@pytest.fixture(name='checked')
def _checked(monkeypatch):
    """Checks a claim on values by seed of the runs a and b."""

    def check(first, second=None, *, too_small='', **fields) -> ClaimResult:
        values = {'a': first, 'b': second}
        monkeypatch.setattr(claims, 'measure', lambda _name, side, _outcomes: values[side.run])
        than = Side(run='b') if second else None
        claim = Claim(**{'claim': 'x', 'section': '1', 'measure': 'accuracy', 'of': Side(run='a'), 'than': than,
                         'expect': 'above', **fields})
        (result,) = check_claims([claim], OUTCOMES, too_small=too_small)
        return result
    return check


def test_a_difference_is_paired_over_the_seeds_that_both_have(checked):
    result = checked({0: 91., 1: 92., 2: 93., 5: 0.}, {0: 90., 1: 90., 2: 90., 7: 0.})
    assert result.ours is not None and result.ours.n == 3 and result.ours.mean == pytest.approx(2)
    assert result.ours.margin == pytest.approx(4.30265 / 3 ** 0.5, abs=1e-4)  # t(0.975, 2) · 1 / √3
    assert (result.unit, result.agreement) == ('points', 'cannot tell')


@pytest.mark.parametrize(('expect', 'value', 'agreement'), [
    ('above', 0, 'agrees'), ('below', 0, 'does not agree'), ('above', 2, 'does not agree'), ('below', 3, 'agrees'),
    ('above', 1.9, 'agrees')])
def test_the_interval_decides_on_which_side_of_the_value_the_difference_is(checked, expect, value, agreement):
    result = checked({0: 92., 1: 92.}, {0: 90., 1: 90.}, expect=expect, value=float(value))
    assert result.agreement == agreement and not result.reason


def test_a_relative_difference_is_in_percent_of_the_other_network(checked):
    result = checked({0: 62., 1: 31.}, {0: 100., 1: 50.}, relative=True, expect='below', measure='early-stop')
    assert (result.ours, result.unit, result.agreement) == ((pytest.approx(-38), pytest.approx(0), 2), '%', 'agrees')


def test_one_seed_and_a_budget_that_is_too_small_cannot_tell(checked):
    assert checked({0: 99.}).reason == 'one seed has no interval'
    result = checked({0: 99., 1: 99.}, too_small='too small')
    assert (result.agreement, result.reason) == ('cannot tell', 'too small')


def test_networks_without_a_common_seed_cannot_be_compared(checked):
    result = checked({0: 1.}, {1: 1.})
    assert result.ours is None and result.agreement == 'cannot tell' and 'seed in common' in result.reason


def test_a_network_that_the_scale_does_not_have_is_not_measured(monkeypatch):
    def refuse(*_arguments):
        raise NotMeasured('no round keeps about 1% of the weights')
    monkeypatch.setattr(claims, 'measure', refuse)
    claim = Claim(claim='x', section='1', measure='accuracy', of=Side(run='a', level=1.), expect='above', published=3.)
    (result,) = check_claims([claim], OUTCOMES)
    assert (result.ours, result.published, result.reason) == (None, 3., 'no round keeps about 1% of the weights')


@pytest.mark.parametrize(('level', 'expected'), [
    ('dense', 1.), ('last', 0.512), (80., 0.8), (72., 0.8), (71., 0.64), (52., 0.512), ('best', 0.64)])
def test_a_level_is_the_round_of_the_nearest_density(monkeypatch, level, expected):
    class Row:
        def __init__(self, density, accuracy):
            self.density, self.test_accuracy = density, type('Mean', (), {'mean': accuracy})
    rows = [Row(1., .99), Row(.8, .9), Row(.64, .95), Row(.512, .9)]
    monkeypatch.setattr(measures, 'summary_rows', lambda runs, seeds: rows)
    assert measures._row(Side(run='a', level=level), ['run'], [0]).density == expected


def test_a_level_that_no_round_is_near_is_not_measured(monkeypatch):
    row = type('Row', (), {'density': .5})
    monkeypatch.setattr(measures, 'summary_rows', lambda runs, seeds: [row])
    with pytest.raises(NotMeasured, match='44%'):
        measures._row(Side(run='a', level=44.), ['run'], [0])
