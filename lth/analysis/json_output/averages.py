"""The rows of soups and of pools in the table of a run."""
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis import averages


@dataclass(frozen=True, kw_only=True)
class SoupRow:
    """The soups of a round. Gains are those of the soup in percentage points, paired by seed."""

    round: int
    density_percent: float
    copies: int
    copies_in_soup: float
    best_copy_percent: Mean
    mean_of_copies_percent: Mean
    soup_percent: Mean
    over_best_copy_points: Mean
    over_mean_of_copies_points: Mean

    @classmethod
    def of(cls, row: 'averages.SoupRow') -> Self:
        """The row of a round."""

        return cls(
            round=row.round, density_percent=percent(row.density), copies=row.copies, copies_in_soup=row.used,
            best_copy_percent=Mean.of_shares(row.best_copy), mean_of_copies_percent=Mean.of_shares(row.mean_of_copies),
            soup_percent=Mean.of_shares(row.soup), over_best_copy_points=Mean.of_shares(row.over_best),
            over_mean_of_copies_points=Mean.of_shares(row.over_mean))


@dataclass(frozen=True, kw_only=True)
class PoolRow:
    """The pooled tickets of a round. Gains are in percentage points, paired by seed."""

    round: int
    density_percent: float
    members: float
    before_percent: Mean
    after_percent: Mean
    gain_points: Mean
    validation_before_percent: Mean
    validation_after_percent: Mean
    validation_gain_points: Mean

    @classmethod
    def of(cls, row: 'averages.PoolRow') -> Self:
        """The row of a round."""

        return cls(
            round=row.round, density_percent=percent(row.density), members=row.members,
            before_percent=Mean.of_shares(row.before), after_percent=Mean.of_shares(row.after),
            gain_points=Mean.of_shares(row.gain), validation_before_percent=Mean.of_shares(row.validation_before),
            validation_after_percent=Mean.of_shares(row.validation_after),
            validation_gain_points=Mean.of_shares(row.validation_gain))
