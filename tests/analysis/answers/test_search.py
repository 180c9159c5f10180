"""The answer of a search: verdicts by hand, and the sentences that they give."""
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lth.analysis.answers.levels import PairedDifference, level_verdict, paired_difference
from lth.analysis.answers.search import SearchAnswer, moment_of, search_answer
from lth.analysis.statistics import Interval


class StubRun:
    """Rounds with (accuracy at the early stop, early stop) of each seed, 1,000 iterations each, 80% kept each round."""

    folder = Path('runs/stub')
    recipe: dict[str, Any] = {'algorithm': {'name': 'magnitude'}, 'training': {'schedule': {'name': 'constant'}}}

    def __init__(self, rounds: dict[int, list[tuple[float, int]]], *, dense: bool = True) -> None:
        self._rounds, self._first = rounds, 0 if dense else 1

    def round_count(self, seed: int) -> int:
        return len(self._rounds.get(seed, ()))

    def record(self, seed: int, number: int) -> SimpleNamespace:
        accuracy, stop = self._rounds[seed][number]
        kept = round(1000 * 0.8 ** (number + self._first))
        return SimpleNamespace(
            kept=kept, prunable=1000, density=kept / 1000, engine='eager', connected_totals=None,
            drawn_test_accuracy=None, selected=None, moves=None, layers=[],
            early_stop=SimpleNamespace(iteration=stop, test_accuracy=accuracy),
            last=SimpleNamespace(iteration=1000, test_accuracy=accuracy - 0.1))


def answer_of(run: StubRun, seeds: list[int], margin: float = 0.002, **controls: list[StubRun]) -> SearchAnswer:
    found = search_answer(run, seeds, controls, margin)
    assert found is not None
    return found


def test_the_bounds_of_a_paired_difference_are_one_sided():
    # Differences 1, 2, 3: mean 2, standard error 1/√3; t(0.95, 2) = 2.91999, t(0.975, 2) = 4.30265.
    paired = paired_difference({0: 5, 1: 7, 2: 9, 7: 0}, {0: 4, 1: 5, 2: 6, 8: 1})
    assert paired is not None and paired.difference.n == 3
    assert paired.difference.margin == pytest.approx(4.30265 / 3 ** 0.5, abs=1e-4)
    assert (paired.lower, paired.upper) == pytest.approx((2 - 2.91999 / 3 ** 0.5, 2 + 2.91999 / 3 ** 0.5), abs=1e-4)


def test_runs_without_a_common_seed_have_no_difference():
    assert paired_difference({0: 1.}, {1: 1.}) is None


@pytest.mark.parametrize(('lower', 'upper', 'expected'), [
    (-0.0019, 0.1, 'matching'), (-0.002, 0.1, 'undecided'), (-0.01, -0.0021, 'worse'), (-0.01, -0.002, 'undecided'),
    (None, None, 'undecided')])
def test_a_round_matches_above_the_margin_and_is_worse_below_it(lower, upper, expected):
    assert level_verdict(PairedDifference(Interval(0., None, 1), lower, upper), 0.002) == expected


def test_equal_differences_of_all_seeds_decide_without_a_width():
    run = StubRun({0: [(0.9, 500), (0.9, 400), (0.8, 400)], 1: [(0.8, 500), (0.8, 400), (0.7, 400)]})
    found = answer_of(run, [0, 1])
    assert [level.verdict for level in found.levels] == ['matching', 'worse']
    assert found.sparsest is found.best is found.levels[0]
    assert found.dense == Interval(pytest.approx(0.85), pytest.approx(12.7062 * 0.05, abs=1e-3), 2)
    text = '\n'.join(found.sentences())
    assert '1 of 2 sparse rounds matches the dense network (85.00' in text
    assert 'Matching: 1. Worse: 2.' in text
    assert '20% sooner than that of the dense network (500)' in text


def test_the_sparsest_matching_round_may_be_below_one_that_does_not_match():
    run = StubRun({seed: [(0.9, 500), (0.8, 400), (0.9, 400), (0.91, 600)] for seed in (0, 1)})
    found = answer_of(run, [0, 1])
    assert [level.verdict for level in found.levels] == ['worse', 'matching', 'matching']
    assert found.sparsest and found.sparsest.number == 3 and found.best.number == 3
    assert '20% later than' in found.sentences()[-1]


def test_the_margin_decides_what_matches():
    run = StubRun({seed: [(0.9, 500), (0.895, 400)] for seed in (0, 1)})
    assert [answer_of(run, [0, 1], margin).levels[0].verdict for margin in (0.002, 0.01)] == ['worse', 'matching']


def test_one_seed_decides_nothing_and_asks_for_more():
    found = answer_of(StubRun({0: [(0.9, 500), (0.95, 400)]}), [0])
    assert found.sparsest is None and found.chosen.number == 1
    assert 'single seed' in found.sentences()[0] and 'Add two or more seeds' in found.sentences()[0]


@pytest.mark.parametrize(('stop', 'seeds'), [(900, []), (901, [0])])
def test_a_dense_network_whose_validation_loss_still_falls_is_reported_first(stop, seeds):
    found = answer_of(StubRun({0: [(0.9, stop), (0.9, 400)]}), [0])
    assert found.undertrained == seeds
    assert found.sentences()[0].startswith('The dense network may be undertrained') == bool(seeds)


def test_rounds_whose_early_stop_is_the_last_iteration_are_reported_unless_the_learning_rate_decreases():
    run = StubRun({0: [(0.9, 1000), (0.9, 999), (0.8, 400), (0.8, 1000)], 1: [(0.9, 5), (0.9, 9), (0.8, 1000)]})
    found = answer_of(run, [0, 1])
    assert found.still_falling == [2, 3]
    assert '\n'.join(found.sentences()).count('early stop is the last iteration (rounds: 2') == 1
    run.recipe = {**run.recipe, 'training': {'schedule': {'name': 'cosine'}}}
    assert answer_of(run, [0, 1]).still_falling == []


def test_controls_are_compared_with_the_sparsest_matching_ticket_by_the_mean_of_their_draws():
    run = StubRun({seed: [(0.9, 500), (0.9, 400), (0.5, 400)] for seed in (0, 1)})
    draws = [StubRun({seed: [(0.9, 500), (accuracy, 400), (0.9, 400)] for seed in (0, 1)}) for accuracy in (0.8, 0.84)]
    (control,) = answer_of(run, [0, 1], reinit=draws).controls
    assert control.verdict == 'survives' and control.comparison.difference.mean == pytest.approx(0.08)
    assert (control.rounds_better, control.rounds) == (1, 3)


def test_a_run_without_a_dense_round_has_no_levels():
    assert search_answer(StubRun({0: [(0.9, 5), (0.8, 5)]}, dense=False), [0], {}) is None
    assert search_answer(StubRun({0: [(0.9, 5)]}), [0], {}) is None


@pytest.mark.parametrize(('schedule', 'moment'), [
    ({'name': 'constant'}, 'early stop'), (None, 'early stop'), ({'name': 'multistep'}, 'end'),
    ({'name': 'cosine'}, 'end')])
def test_accuracy_is_read_at_the_early_stop_if_the_learning_rate_is_constant(schedule, moment):
    run = StubRun({0: [(0.9, 500), (0.95, 400)]})
    run.recipe = {**run.recipe, 'training': {'schedule': schedule}}
    assert moment_of(run) == moment
    expected = 0.95 if moment == 'early stop' else 0.85
    assert answer_of(run, [0]).best.accuracy.mean == pytest.approx(expected)
