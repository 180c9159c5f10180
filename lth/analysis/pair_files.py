"""The files of RUN-stability: the errors of one pair of copies each, with a checksum."""
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import pydantic
from pydantic import Field

from lth.analysis.measurement_files import MeasurementFiles
from lth.runs.stored import Count, Share, ShortText, Stored
from lth.runs.stored_run import StoredRun


@dataclass(frozen=True)
class CopyPair:
    """Two copies of the ticket of a seed and round, which train apart from this iteration on. `pair` numbers the pairs
    of one ticket, and `points` is the number of points on the line, both ends included.
    """

    seed: int
    round: int
    iteration: int
    pair: int
    points: int

    @property
    def file_name(self) -> str:
        """See MeasuredItem."""

        ticket = f'seed-{self.seed}-round-{self.round:02d}'
        return f'{ticket}-from-{self.iteration}-pair-{self.pair}-points-{self.points}.json'

    @property
    def measured_rounds(self) -> tuple[tuple[int, int], ...]:
        """See MeasuredItem."""

        return ((self.seed, self.round),)

    @property
    def order(self) -> tuple[int, ...]:
        """See MeasuredItem."""

        return self.round, self.iteration, self.seed, self.pair


@dataclass(frozen=True)
class PairErrors:
    """Test errors at equal steps from one copy to the other; for the kept weights of both, their distance, the angle
    between them in degrees, and the share with equal signs.
    """

    errors: list[float]
    distance: float
    angle: float
    signs: float

    @property
    def barrier(self) -> float:
        """The highest error on the line minus the mean of both ends."""

        return max(self.errors) - (self.errors[0] + self.errors[-1]) / 2


class _PairFile(Stored):
    """The content of a file: the fingerprint of the ticket, the pair, its errors."""

    ticket: ShortText
    seed: Count
    round: Count
    iteration: Count
    pair: Count
    points: Count
    errors: Annotated[list[Share], Field(min_length=2, max_length=100_000)]
    distance: Annotated[float, Field(ge=0)]
    angle: Annotated[float, Field(ge=0, le=180)]
    signs: Share

    @pydantic.model_validator(mode='after')
    def _there_is_an_error_for_each_point(self) -> Self:
        if len(self.errors) != self.points:
            raise ValueError('it should have an error for each point')
        return self


def _ticket(run: Path, pair: CopyPair) -> str | None:
    """The fingerprint of the ticket, which rounds of version 0.1.0 did not record."""

    return StoredRun.open(run).record(pair.seed, pair.round).ticket


PAIRS = MeasurementFiles(
    _PairFile, CopyPair, PairErrors, 'seed-*.json', 'ticket', 'another ticket than the one that is', _ticket)
