"""The tables of `lth stability`, and the measurements that they summarize."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis import mask_overlap, pair_files, stability_table


@dataclass(frozen=True, kw_only=True)
class StabilityRow:
    """A round and the iteration from which its copies train apart, over all pairs."""

    round: int
    iteration: int
    pairs: int
    error_percent: Mean
    barrier_points: Mean
    stable: Literal['yes', 'no', 'undecided']
    distance: Mean
    angle_degrees: Mean
    equal_signs_percent: Mean

    @classmethod
    def of(cls, row: 'stability_table.StabilityRow') -> Self:
        """A row of the first table."""

        return cls(
            round=row.round, iteration=row.iteration, pairs=row.pairs, error_percent=Mean.of_shares(row.error),
            barrier_points=Mean.of_shares(row.barrier), stable=row.stable, distance=Mean.of(row.distance),
            angle_degrees=Mean.of(row.angle), equal_signs_percent=Mean.of_shares(row.signs))


@dataclass(frozen=True, kw_only=True)
class OverlapRow:
    """Masks of two seeds, or of two rounds, over all pairs of masks."""

    between: Literal['seeds', 'rounds']
    rounds: list[int]
    pairs: int
    shared_percent: Mean
    by_chance_percent: Mean

    @classmethod
    def of(cls, row: 'stability_table.OverlapRow') -> Self:
        """A row of the second table."""

        return cls(between=row.between, rounds=list(row.rounds), pairs=row.pairs,
                   shared_percent=Mean.of_shares(row.shared), by_chance_percent=Mean.of_shares(row.chance))


@dataclass(frozen=True, kw_only=True)
class CopyPair:
    """A pair of copies."""

    seed: int
    round: int
    iteration: int
    pair: int
    points: int
    errors_percent: list[float]
    barrier_points: float
    distance: float
    angle_degrees: float
    equal_signs_percent: float

    @classmethod
    def of(cls, pair: 'pair_files.CopyPair', result: 'pair_files.PairErrors') -> Self:
        """A pair and its errors."""

        return cls(
            seed=pair.seed, round=pair.round, iteration=pair.iteration, pair=pair.pair, points=pair.points,
            errors_percent=list(map(percent, result.errors)), barrier_points=percent(result.barrier),
            distance=result.distance, angle_degrees=result.angle, equal_signs_percent=percent(result.signs))


@dataclass(frozen=True, kw_only=True)
class MaskOverlap:
    """Two masks: of two seeds, or of two rounds."""

    seeds: list[int]
    rounds: list[int]
    shared_percent: float
    by_chance_percent: float

    @classmethod
    def of(cls, overlap: 'mask_overlap.MaskOverlap') -> Self:
        """The overlap of two masks."""

        return cls(seeds=list(overlap.seeds), rounds=list(overlap.rounds), shared_percent=percent(overlap.shared),
                   by_chance_percent=percent(overlap.chance))


@dataclass(frozen=True, kw_only=True)
class StabilityReport:
    """The output of `lth stability`: the rows of both tables, all pairs of copies and all pairs of masks."""

    run: Path
    rows: list[StabilityRow]
    overlap_rows: list[OverlapRow]
    pairs: list[CopyPair]
    overlaps: list[MaskOverlap]
