"""The output of `lth show run --signs`: how many kept weights change their sign in training."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis import sign_flips
    from lth.analysis.statistics import Interval


@dataclass(frozen=True, kw_only=True)
class LayerSigns:
    """The kept weights of a layer whose sign differs; None if the layer keeps none."""

    name: str
    flipped_percent: Mean | None


@dataclass(frozen=True, kw_only=True)
class RoundSigns:
    """The kept weights of a round whose sign differs between the ticket and the trained network: all, those of each
    layer, and those in each tenth by start magnitude, the smallest first.
    """

    round: int
    density_percent: float
    kept: int
    flipped_percent: Mean | None
    layers: list[LayerSigns]
    deciles_percent: list[Mean | None]

    @classmethod
    def of(cls, row: 'sign_flips.SignRow') -> Self:
        """A row of the report."""

        layers = [LayerSigns(name=name, flipped_percent=_mean(share)) for name, share in row.layers.items()]
        return cls(
            round=row.round, density_percent=percent(row.density), kept=row.kept, flipped_percent=_mean(row.share),
            layers=layers, deciles_percent=list(map(_mean, row.deciles)))


@dataclass(frozen=True, kw_only=True)
class SignReport:
    """The rounds of a run, for these seeds, and notes about those whose weights were removed."""

    run: Path
    seeds: list[int]
    rounds: list[RoundSigns]
    notes: list[str]

    @classmethod
    def of(cls, run: Path, seeds: Sequence[int], report: 'sign_flips.SignReport') -> Self:
        """The report of a run."""

        return cls(run=run, seeds=list(seeds), rounds=list(map(RoundSigns.of, report.rows)), notes=report.notes)


def _mean(share: 'Interval | None') -> Mean | None:
    return None if share is None else Mean.of_shares(share)
