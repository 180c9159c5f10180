"""The table of `lth align`, and below it the barriers and the comparisons with the controls."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from lth import analysis
from lth.analysis.json_output.runs import RunReport
from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis import alignment


@dataclass(frozen=True, kw_only=True)
class DenseBarrier:
    """The error barrier between the dense networks of the seed with the masks and of another one, as they are and with
    aligned channels.
    """

    mask_seed: int
    seed: int
    barrier_points: float
    aligned_barrier_points: float

    @classmethod
    def of(cls, barrier: 'alignment.AlignmentBarrier', mask_seed: int) -> Self:
        """The barriers to a seed."""

        return cls(mask_seed=mask_seed, seed=barrier.seed, barrier_points=percent(barrier.naive),
                   aligned_barrier_points=percent(barrier.aligned))


@dataclass(frozen=True, kw_only=True)
class ControlComparison:
    """A round of aligned masks next to a control: aligned - control, paired by seed. `round` is that of the search."""

    round: int
    control: str
    difference_points: Mean
    p: float | None
    verdict: Literal['survives', 'fails', 'undecided']

    @classmethod
    def of(cls, row: 'alignment.AlignedRow') -> Self:
        """A round and a control."""

        comparison = row.comparison
        return cls(round=row.round, control=row.other, difference_points=Mean.of_shares(comparison.difference),
                   p=comparison.p, verdict=analysis.statistics.verdict(comparison))


@dataclass(frozen=True, kw_only=True)
class AlignmentReport(RunReport):
    """The output of `lth align`: the table of the run with its controls, barriers, and comparisons."""

    barriers: list[DenseBarrier]
    comparisons: list[ControlComparison]

    @classmethod
    def of(cls, table: RunReport, mask_seed: int, barriers: 'Sequence[alignment.AlignmentBarrier]',
           rows: 'Sequence[alignment.AlignedRow]') -> Self:
        """The table of the run with what was measured and compared."""

        return cls(**vars(table), barriers=[DenseBarrier.of(barrier, mask_seed) for barrier in barriers],
                   comparisons=list(map(ControlComparison.of, rows)))
