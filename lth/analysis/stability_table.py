"""The tables of `lth stability`: pairs of copies by round and iteration, pairs of masks by seeds or rounds."""
from collections.abc import Sequence
from typing import Literal, NamedTuple

from lth.analysis.mask_overlap import MaskOverlap
from lth.analysis.pair_files import CopyPair, PairErrors
from lth.analysis.statistics import Interval, confidence_interval, is_below

# Frankle et al. 2020: an error that rises by less than 2 percentage points on the line counts as no barrier.
STABLE_BARRIER = 0.02
Stable = Literal['yes', 'no', 'undecided']


class StabilityRow(NamedTuple):
    """A round and the iteration from which its copies train apart, over pairs. Errors, barrier and signs are shares."""

    round: int
    iteration: int
    pairs: int
    error: Interval
    barrier: Interval
    stable: Stable
    distance: Interval
    angle: Interval
    signs: Interval


class OverlapRow(NamedTuple):
    """Masks of two seeds in a round, or of one seed in two rounds, over pairs of masks; shares as in MaskOverlap."""

    between: Literal['seeds', 'rounds']
    rounds: tuple[int, ...]
    pairs: int
    shared: Interval
    chance: Interval


def stability_rows(measured: Sequence[tuple[CopyPair, PairErrors]]) -> list[StabilityRow]:
    """One row for each round and iteration, in the order of the pairs."""

    groups: dict[tuple[int, int], list[PairErrors]] = {}
    for pair, result in measured:
        groups.setdefault((pair.round, pair.iteration), []).append(result)
    return [_stability_row(number, iteration, results) for (number, iteration), results in groups.items()]


def overlap_rows(overlaps: Sequence[MaskOverlap]) -> list[OverlapRow]:
    """One row for each round in which seeds are compared, and for each two rounds."""

    groups: dict[tuple[Literal['seeds', 'rounds'], tuple[int, ...]], list[MaskOverlap]] = {}
    for overlap in overlaps:
        between: Literal['seeds', 'rounds'] = 'seeds' if overlap.seeds[0] != overlap.seeds[1] else 'rounds'
        groups.setdefault((between, tuple(sorted(set(overlap.rounds)))), []).append(overlap)
    return [OverlapRow(between, rounds, len(group), confidence_interval([one.shared for one in group]),
                       confidence_interval([one.chance for one in group]))
            for (between, rounds), group in groups.items()]


def stable(barrier: Interval) -> Stable:
    """Whether training counts as stable: its barrier is below 2 percentage points; undecided if the confidence interval
    contains this limit.
    """

    below = is_below(barrier, STABLE_BARRIER)
    return 'undecided' if below is None else ('yes' if below else 'no')


def _stability_row(number: int, iteration: int, results: Sequence[PairErrors]) -> StabilityRow:
    barrier = confidence_interval([result.barrier for result in results])
    return StabilityRow(
        number, iteration, len(results), confidence_interval([_end_error(result) for result in results]), barrier,
        stable(barrier), confidence_interval([result.distance for result in results]),
        confidence_interval([result.angle for result in results]),
        confidence_interval([result.signs for result in results]))


def _end_error(result: PairErrors) -> float:
    return (result.errors[0] + result.errors[-1]) / 2
