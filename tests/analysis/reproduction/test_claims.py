"""Claims next to measurements: signs, units, levels and verdicts by hand."""
from pathlib import Path
from types import SimpleNamespace

import pytest

from lth.analysis.papers import Claim, Side
from lth.analysis.reproduction import claims, measures
from lth.analysis.reproduction.claims import ClaimResult, check_claims
from lth.analysis.reproduction.measures import NotMeasured, Outcome
from lth.analysis.statistics import Interval

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


@pytest.mark.parametrize(('shown', 'possible', 'expect', 'agreement'), [
    (3.6, 3.6, 'below', 'agrees'), (3.6, 1.2, 'below', 'agrees'), (5.6, 5.6, 'below', 'does not agree'),
    (5.6, 3.6, 'below', 'cannot tell'), (5.6, 3.6, 'above', 'cannot tell'), (5.6, 5.6, 'above', 'agrees'),
    (3.6, 1.2, 'above', 'does not agree')])
def test_rounds_without_a_verdict_may_match(monkeypatch, shown, possible, expect, agreement):
    monkeypatch.setattr(claims, 'match_range', lambda _side, _outcome: measures.MatchRange(shown, possible))
    claim = Claim(claim='x', section='1', measure='density-of-sparsest-match', of=Side(run='a'), expect=expect, value=4)
    (result,) = check_claims([claim], OUTCOMES)
    assert (result.ours, result.unit, result.agreement) == ((shown, None, 3), '%', agreement)
    assert ('rounds down to 3.6% are undecided' in result.reason) == (agreement == 'cannot tell')


@pytest.mark.parametrize(('verdicts', 'expected'), [
    (('matching', 'worse', 'matching', 'undecided', 'worse'), (40., 30.)),
    (('matching', 'undecided', 'worse', 'worse', 'worse'), (60., 50.)),
    (('undecided', 'worse', 'matching', 'worse', 'worse'), (40., 40.))])
def test_the_sparsest_round_that_may_match_is_not_shown_to_be_worse(monkeypatch, verdicts, expected):
    levels = [SimpleNamespace(density=density, verdict=verdict)
              for density, verdict in zip((0.6, 0.5, 0.4, 0.3, 0.2), verdicts, strict=True)]
    sparsest = [level for level in levels if level.verdict == 'matching'][-1]
    found = SimpleNamespace(dense=Interval(98., 0.1, 3), levels=levels, sparsest=sparsest)
    monkeypatch.setattr(measures, '_runs', lambda _side, _outcome: [None])
    monkeypatch.setattr(measures, 'search_answer', lambda _run, _seeds, _controls: found)
    assert measures.match_range(Side(run='a'), OUTCOMES['a']) == pytest.approx(expected)


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
