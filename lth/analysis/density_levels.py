"""When two rounds count as equally dense. There are two questions, and a tolerance for each.

* Rounds of two runs are compared only if they are at the same density: within 5%, half a pruning step of 10%, so that
  rounds of the usual schedules, which prune 10% or 20%, are never confused.
* A paper names a level, such as 11.8%, which its network reached with other layers kept out than ours: the round that
  is meant is the nearest, within half a pruning step of 20%.
"""
import math
from collections.abc import Sequence

from lth.analysis.summary_table import RoundSummary

# As logarithms of a ratio of densities.
_SAME = math.log(1.05)
_HALF_STEP = math.log(1.25) / 2


def is_same_density(density: float, other: float) -> bool:
    """Whether rounds of these densities, in two runs, can be compared."""

    if density <= 0 or other <= 0:
        return density == other
    return abs(math.log(density / other)) < _SAME


def round_at_level(rows: Sequence[RoundSummary], level: float) -> RoundSummary | None:
    """The round that is nearest to a level which a paper names, a share in (0, 1]; None if none is near."""

    def distance(row: RoundSummary) -> float:
        return abs(math.log(row.density / level)) if row.density else math.inf

    nearest = min(rows, key=distance)
    return nearest if distance(nearest) <= _HALF_STEP else None
