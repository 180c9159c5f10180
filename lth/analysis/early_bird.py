"""When the masks of a network stop changing while it trains: early birds, from the measurements of round 0.

The published test (You et al. 2020) finds an early bird when the mask differs from each of the last four in at most a
tenth of all places. Masks that keep at most 5% or at least 95% of the weights cannot differ in more: there the test is
void. The normalised distance is the number of differing weights divided by that of random masks of the same density.
"""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.summary_table import RecordedRun
from lth.errors import LthError
from lth.experiments.early_bird_plans import unwatched_error
from lth.pruning.early_bird import THRESHOLD, emergence
from lth.runs.metrics_file import MetricsLine

_PUBLISHED = 0.1


class Emergence(NamedTuple):
    """The early birds at one density: the number of kept weights and their share, the share of places in which random
    masks differ, whether the published test can never fail, the iteration at which each seed has its early bird by
    either test (None if it has none), and the normalised distance at the end of training.
    """

    kept: int
    density: float
    chance: float
    void: bool
    published: tuple[int | None, ...]
    normalised: tuple[int | None, ...]
    final_distance: Interval


class EarlyBirds(NamedTuple):
    """The early birds of a run at all watched densities, in the order of the seeds; `iterations` is the length of the
    training, `threshold` the limit of the normalised distance.
    """

    seeds: tuple[int, ...]
    threshold: float
    iterations: int
    densities: list[Emergence]


class _Watched(NamedTuple):
    """The measurements of round 0 of one seed, and what they are compared with."""

    lines: list[MetricsLine]
    prunable: int
    kept: list[int]
    chance: list[float]


def early_birds(run: RecordedRun, seeds: Sequence[int], threshold: float = THRESHOLD) -> EarlyBirds:
    """The early birds of these seeds. LthError if the run watched no masks, or if a seed has no round 0."""

    watched = [_read(run, seed) for seed in seeds]
    first = watched[0]
    return EarlyBirds(tuple(seeds), threshold, first.lines[-1].iteration, [
        _emergence(watched, index, threshold) for index in range(len(first.kept))])


def distances(lines: Sequence[MetricsLine], index: int, chance: float) -> list[tuple[int, float]]:
    """The iterations from the second measurement on, each with the largest normalised distance to the masks before."""

    measured = ((line.iteration, line.differing[index]) for line in lines if line.differing)
    return [(iteration, max(differing) / chance) for iteration, differing in measured if differing and chance]


def is_void(kept: int, prunable: int) -> bool:
    """Whether the published test can never fail: masks of this density differ in at most a tenth of all places."""

    return 10 * 2 * min(kept, prunable - kept) <= prunable


def _read(run: RecordedRun, seed: int) -> _Watched:
    if run.round_count(seed) == 0:
        raise LthError(f'{run.folder} has no completed round of seed {seed}. Resume the search until its first round '
                       'is saved.')
    record = run.record(seed, 0)
    if record.early_bird is None:
        raise unwatched_error(run.folder)
    return _Watched(run.metrics(seed, 0), record.prunable, record.early_bird.kept, record.early_bird.chance)


def _emergence(watched: Sequence[_Watched], index: int, threshold: float) -> Emergence:
    first = watched[0]
    kept, prunable, chance = first.kept[index], first.prunable, first.chance[index]
    measured = [[(line.iteration, line.differing[index]) for line in one.lines if line.differing] for one in watched]
    found = tuple(emergence(lines, _PUBLISHED * prunable) for lines in measured)
    normalised = tuple(emergence(lines, threshold * chance) for lines in measured)
    last = [(distances(one.lines, index, chance) or [(0, 0.)])[-1][1] for one in watched]
    return Emergence(kept, kept / prunable, chance / prunable, is_void(kept, prunable), found, normalised,
                     confidence_interval(last))
