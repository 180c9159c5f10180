"""The table of a run: a row for each round, with means and intervals over seeds."""
from types import SimpleNamespace

import pytest

from lth.analysis.summary_table import summary_rows
from lth.pruning.effective_sparsity import ConnectedTotals


class StubRun:
    """Rounds with these test accuracies, by seed: {seed: [accuracy of round 0, of round 1, ...]}."""

    recipe = {'algorithm': {'name': 'magnitude'}}

    def __init__(self, accuracies: dict[int, list[float]]) -> None:
        self._accuracies = accuracies

    def round_count(self, seed: int) -> int:
        return len(self._accuracies.get(seed, ()))

    def record(self, seed: int, number: int) -> SimpleNamespace:
        return SimpleNamespace(
            kept=100 - number, density=1 - number / 100, engine='plain',
            connected_totals=ConnectedTotals(5, 6, 7, 8), drawn_test_accuracy=None, layers=[], selected=None,
            moves=None,
            early_stop=SimpleNamespace(iteration=5, test_accuracy=0.25),
            last=SimpleNamespace(iteration=9, test_accuracy=self._accuracies[seed][number]))


def test_a_row_has_the_mean_over_the_seeds_that_have_the_round():
    first, second = summary_rows([StubRun({0: [0.5, 0.6], 7: [0.7]})], [0, 7])
    assert first.test_accuracy.mean == pytest.approx(0.6) and first.test_accuracy.n == 2
    assert first.test_accuracy.margin == pytest.approx(12.706 * 0.1, rel=1e-4)  # t(0.975, 1) · sd / √2
    assert (second.test_accuracy.mean, second.test_accuracy.margin, second.test_accuracy.n) == (0.6, None, 1)
    assert (second.kept, second.density) == (99, 0.99)
    assert (second.early_stop.mean, second.early_stop_accuracy.mean) == (5, 0.25)


def test_a_seed_counts_once_by_its_mean_over_the_draws_of_a_control():
    draws = [StubRun({0: [0.4], 7: [0.6]}), StubRun({0: [0.6], 7: [0.8]})]
    (row,) = summary_rows(draws, [0, 7])
    assert row.test_accuracy.n == 2 and row.test_accuracy.mean == pytest.approx(0.6)
    assert row.test_accuracy.margin == pytest.approx(12.706 * 0.1, rel=1e-4)
    assert [(result.draw, result.seed) for result in row.results] == [(1, 0), (1, 7), (2, 0), (2, 7)]


def test_a_row_has_the_engine_and_the_connected_units_of_each_seed():
    (row,) = summary_rows([StubRun({3: [0.5]})], [3])
    assert row.results[0].engine == 'eager'
    assert row.results[0].connected == ConnectedTotals(5, 6, 7, 8)


def test_a_run_without_rounds_has_no_rows():
    assert not summary_rows([StubRun({})], [0])
