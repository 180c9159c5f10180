"""The output of `lth early-bird`."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis import early_bird


@dataclass(frozen=True, kw_only=True)
class Emergence:
    """The early birds at one density. Iterations are in the order of the seeds, null where none was found."""

    kept: int
    density_percent: float
    chance_percent: float
    published_test_is_void: bool
    published_iterations: list[int | None]
    normalised_iterations: list[int | None]
    final_distance: Mean

    @classmethod
    def of(cls, row: 'early_bird.Emergence') -> Self:
        """The early birds at a density."""

        return cls(
            kept=row.kept, density_percent=percent(row.density), chance_percent=percent(row.chance),
            published_test_is_void=row.void, published_iterations=list(row.published),
            normalised_iterations=list(row.normalised), final_distance=Mean.of(row.final_distance))


@dataclass(frozen=True, kw_only=True)
class EarlyBirdReport:
    """The early birds of round 0 of a run at all densities that were watched."""

    run: Path
    seeds: list[int]
    threshold: float
    iterations: int
    densities: list[Emergence]

    @classmethod
    def of(cls, run: Path, found: 'early_bird.EarlyBirds') -> Self:
        """The early birds of the run in this folder."""

        return cls(run=run, seeds=list(found.seeds), threshold=found.threshold, iterations=found.iterations,
                   densities=list(map(Emergence.of, found.densities)))
