"""Early birds: when masks stop changing, by the published test and by the distance normalised by chance."""
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.analysis.early_bird import early_birds, is_void
from lth.errors import LthError
from lth.pruning.early_bird import MaskWatch
from lth.runs.metrics_file import MetricsLine
from lth.runs.round_record import EarlyBirdRecord

PRUNABLE = 1000


def line(iteration: int, *differing: list[int]) -> MetricsLine:
    return MetricsLine(
        iteration=iteration, train_loss=None, train_accuracy=None, validation_loss=1., validation_accuracy=0.5,
        test_loss=1., test_accuracy=0.5, early_stop=False, differing=list(differing))


class Watched:
    """A run of which only what early birds need is there."""

    folder, recipe = Path('runs/a'), {'algorithm': {'name': 'magnitude'}}

    def __init__(self, lines: list[MetricsLine], kept: list[int], prunable: int = PRUNABLE) -> None:
        chance = [2 * count * (prunable - count) / prunable for count in kept]
        early = EarlyBirdRecord(kept=kept, chance=chance)
        self._lines, self._record = lines, SimpleNamespace(early_bird=early, prunable=prunable)

    def round_count(self, _seed: int) -> int:
        """One round."""

        return 1

    def record(self, _seed: int, _number: int) -> Any:
        """The record of round 0."""

        return self._record

    def metrics(self, _seed: int, _number: int) -> list[MetricsLine]:
        """The measurements."""

        return self._lines


def test_an_early_bird_is_close_to_each_of_the_last_four_masks_by_either_test():
    # 10% of 1000 places are 100; at 50% kept random masks differ in 500, at 20% in 320: 0.2 of these are 100 and 64.
    lines = [line(0, [], []), line(10, [0], [0]), line(20, [0, 0], [0, 0]), line(30, [0, 0, 0], [0, 0, 0]),
             line(40, [50, 60, 90, 101], [60, 60, 60, 65]), line(50, [50, 60, 90, 100], [99, 99, 99, 99]),
             line(60, [0, 0, 0, 0], [60, 61, 62, 64])]
    half, fifth = early_birds(Watched(lines, [500, 200]), [0]).densities
    assert (half.published, half.normalised) == ((50,), (50,))
    assert (fifth.published, fifth.normalised) == ((40,), (60,))
    assert (half.chance, fifth.chance) == (0.5, 0.32) and fifth.final_distance.mean == pytest.approx(0.2)
    strict = early_birds(Watched(lines, [500, 200]), [0], 0.1).densities
    assert [row.normalised for row in strict] == [(60,), (None,)]


@pytest.mark.parametrize(('kept', 'void'), [
    (0, True), (50, True), (51, False), (500, False), (949, False), (950, True)])
def test_the_published_test_is_void_where_no_two_masks_differ_in_more_than_a_tenth(kept, void):
    assert is_void(kept, PRUNABLE) is void


@given(st.integers(0, 2 ** 32 - 1))
def test_at_five_percent_the_published_test_passes_even_for_unrelated_masks_and_the_normalised_one_does_not(seed):
    random, watch = torch.Generator().manual_seed(seed), MaskWatch([(0, PRUNABLE)], [(50,)])
    recent, lines = None, []
    for step in range(6):
        recent, differing = watch.observe(torch.randn(1, PRUNABLE, generator=random), recent)
        lines.append(line(step, *map(list, differing[0])))
    row, = early_birds(Watched(lines, [50]), [0]).densities
    assert row.void and row.published == (4,) and row.normalised == (None,)
    assert row.final_distance.mean == pytest.approx(1, abs=0.2)


def test_disjoint_masks_pass_the_published_test_at_five_percent():
    watch, recent, lines = MaskWatch([(0, 1000)], [(50,)]), None, []
    for step in range(5):
        weights = torch.zeros(1, 1000)
        weights[0, 50 * step:50 * step + 50] = 1
        recent, differing = watch.observe(weights, recent)
        lines.append(line(step, *map(list, differing[0])))
    assert lines[-1].differing == [[100, 100, 100, 100]]
    assert early_birds(Watched(lines, [50]), [0]).densities[0].published == (4,)


def test_a_run_that_compared_no_masks_is_refused_with_the_option():
    run = Watched([line(0, [])], [500])
    run.record(0, 0).early_bird = None
    with pytest.raises(LthError, match='--early-bird'):
        early_birds(run, [0])
