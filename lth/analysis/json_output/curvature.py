"""The table of `lth stability --curvature`, and the measurements that it summarizes."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis.loss_landscape import curvature, curvature_files


@dataclass(frozen=True, kw_only=True)
class CurvatureRow:
    """A round over seeds. `relative_distance` is None if the weights of all tickets are 0."""

    round: int
    density_percent: float
    eigenvalue: Mean
    trace: Mean
    distance: Mean
    relative_distance: Mean | None
    flipped_percent: Mean

    @classmethod
    def of(cls, row: 'curvature.CurvatureRow') -> Self:
        """A row of the table."""

        relative = None if row.relative_distance is None else Mean.of(row.relative_distance)
        return cls(
            round=row.round, density_percent=percent(row.density), eigenvalue=Mean.of(row.eigenvalue),
            trace=Mean.of(row.trace), distance=Mean.of(row.distance), relative_distance=relative,
            flipped_percent=Mean.of_shares(row.flips))


@dataclass(frozen=True, kw_only=True)
class Curvature:
    """A round of one seed. `trace_error` is the standard error of the trace, 0 if it is exact."""

    seed: int
    round: int
    images: int
    eigenvalue: float
    trace: float
    trace_error: float
    distance: float
    relative_distance: float | None
    flipped_percent: float

    @classmethod
    def of(cls, measured: 'curvature_files.MeasuredRound', found: 'curvature_files.Curvature') -> Self:
        """A round and its curvature."""

        return cls(
            seed=measured.seed, round=measured.round, images=found.used_images, eigenvalue=found.eigenvalue,
            trace=found.trace, trace_error=found.trace_error, distance=found.distance,
            relative_distance=found.relative_distance, flipped_percent=percent(found.flips))


@dataclass(frozen=True, kw_only=True)
class CurvatureReport:
    """The output of `lth stability --curvature`: the rows of the table, all measurements, and notes about rounds that
    could not be measured.
    """

    run: Path
    rows: list[CurvatureRow]
    measurements: list[Curvature]
    notes: list[str]

    @classmethod
    def of(cls, run: Path, rows: 'Sequence[curvature.CurvatureRow]',
           measured: 'Sequence[tuple[curvature_files.MeasuredRound, curvature_files.Curvature]]',
           notes: Sequence[str]) -> Self:
        """The table of a run with the measurements behind it."""

        return cls(run=run, rows=list(map(CurvatureRow.of, rows)), notes=list(notes),
                   measurements=[Curvature.of(one, found) for one, found in measured])
