"""The table of `lth train-early-birds`, and below it the comparisons with masks from the end of training."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lth.analysis.json_output.runs import RunReport
from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis import early_bird_tickets


@dataclass(frozen=True, kw_only=True)
class EarlyBirdComparison:
    """The tickets of one density: the iterations at which they were drawn, in the order of the seeds, the length of the
    training, and early - end, paired by seed.
    """

    round: int
    density_percent: float
    drawn_at: list[int]
    iterations: int
    difference_points: Mean
    p: float | None

    @classmethod
    def of(cls, row: 'early_bird_tickets.EarlyBirdRow') -> Self:
        """The tickets of a density."""

        return cls(round=row.round, density_percent=percent(row.density), drawn_at=list(row.iterations),
                   iterations=row.length, difference_points=Mean.of_shares(row.comparison.difference),
                   p=row.comparison.p)


@dataclass(frozen=True, kw_only=True)
class EarlyBirdTicketReport(RunReport):
    """The output of `lth train-early-birds`: the table of the run with its control, and the comparisons."""

    threshold: float
    comparisons: list[EarlyBirdComparison]

    @classmethod
    def of(cls, table: RunReport, threshold: float, rows: 'Sequence[early_bird_tickets.EarlyBirdRow]') -> Self:
        """The table of the run with what was compared."""

        return cls(**vars(table), threshold=threshold, comparisons=list(map(EarlyBirdComparison.of, rows)))
