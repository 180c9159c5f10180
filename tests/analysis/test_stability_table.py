"""The tables of `lth stability`."""
import pytest

from lth.analysis.mask_overlap import MaskOverlap
from lth.analysis.mode_connectivity import CopyPair, PairErrors
from lth.analysis.stability_table import overlap_rows, stability_rows, stable
from lth.analysis.statistics import Interval


@pytest.mark.parametrize(('mean', 'margin', 'word'), [
    (0.01, 0.005, 'yes'), (0.019, 0.003, 'undecided'), (0.05, 0.01, 'no'), (0.02, 0., 'no'), (0.001, None, 'undecided'),
    # The mean is below 2 points, but the interval contains 2.
    (0.0049, 0.0441, 'undecided')])
def test_training_is_stable_or_unstable_only_if_the_interval_of_its_barrier_excludes_2_points(mean, margin, word):
    assert stable(Interval(mean, margin, 2)) == word


def test_pairs_are_summarized_by_round_and_iteration():
    pairs = [(CopyPair(seed, number, 0, 0, 3), PairErrors([error, 0.5, error], 2., 90., 0.5))
             for seed, number, error in ((0, 0, 0.1), (0, 7, 0.4), (1, 0, 0.2))]
    rows = stability_rows(pairs)
    assert [(row.round, row.pairs, round(row.error.mean, 9), round(row.barrier.mean, 9)) for row in rows] == [
        (0, 2, 0.15, 0.35), (7, 1, 0.4, 0.1)]


def test_masks_are_summarized_by_what_differs():
    overlaps = [MaskOverlap((0, 0), (0, 7), 0.2, 0.2), MaskOverlap((0, 1), (7, 7), 0.5, 0.1),
                MaskOverlap((1, 1), (0, 7), 0.4, 0.2)]
    rows = overlap_rows(overlaps)
    assert [(row.between, row.rounds, row.pairs, round(row.shared.mean, 9)) for row in rows] == [
        ('rounds', (0, 7), 2, 0.3), ('seeds', (7,), 1, 0.5)]
