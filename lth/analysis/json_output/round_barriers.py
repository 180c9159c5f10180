"""The table of `lth stability --between-rounds`, and the measurements that it summarizes."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis.loss_landscape import barrier_files, barrier_table


@dataclass(frozen=True, kw_only=True)
class BarrierRow:
    """A round and the line to it from the round before, over seeds. `matching` is None without a dense network."""

    round: int
    density_percent: float
    test_accuracy_percent: Mean
    barrier_points: Mean
    projected_error_percent: Mean
    pruning_cost_points: Mean
    connected: Literal['yes', 'no', 'undecided']
    matching: Literal['matching', 'worse', 'undecided'] | None
    agrees: Literal['yes', 'no', 'undecided']

    @classmethod
    def of(cls, row: 'barrier_table.BarrierRow') -> Self:
        """A row of the table."""

        return cls(
            round=row.round, density_percent=percent(row.density), test_accuracy_percent=Mean.of_shares(row.accuracy),
            barrier_points=Mean.of_shares(row.barrier), projected_error_percent=Mean.of_shares(row.projected_error),
            pruning_cost_points=Mean.of_shares(row.pruning_cost), connected=row.connected, matching=row.matching,
            agrees=row.agrees)


@dataclass(frozen=True, kw_only=True)
class RoundPair:
    """The trained networks of a seed in a round and in the one before it, and the errors on both lines between them."""

    seed: int
    round: int
    points: int
    errors_percent: list[float]
    projected_errors_percent: list[float]
    barrier_points: float

    @classmethod
    def of(cls, pair: 'barrier_files.RoundPair', errors: 'barrier_files.RoundErrors') -> Self:
        """A pair and its errors."""

        return cls(
            seed=pair.seed, round=pair.round, points=pair.points, errors_percent=list(map(percent, errors.errors)),
            projected_errors_percent=list(map(percent, errors.projected)), barrier_points=percent(errors.barrier))


@dataclass(frozen=True, kw_only=True)
class BarrierReport:
    """The output of `lth stability --between-rounds`: the rows of the table, the sentences below it, all pairs, and
    notes about rounds that could not be measured. `accuracy_at` and `margin_points` are of the verdicts on matching.
    """

    run: Path
    rows: list[BarrierRow]
    accuracy_at: Literal['early stop', 'end']
    margin_points: float
    sentences: list[str]
    pairs: list[RoundPair]
    notes: list[str]

    @classmethod
    def of(cls, run: Path, table: 'barrier_table.BarrierTable',
           measured: 'Sequence[tuple[barrier_files.RoundPair, barrier_files.RoundErrors]]',
           notes: Sequence[str]) -> Self:
        """The table of a run with the pairs behind it."""

        return cls(
            run=run, rows=list(map(BarrierRow.of, table.rows)), accuracy_at=table.moment,
            margin_points=percent(table.margin), sentences=table.sentences(),
            pairs=[RoundPair.of(pair, errors) for pair, errors in measured], notes=list(notes))
