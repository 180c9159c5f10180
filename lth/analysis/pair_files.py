"""The files of RUN-stability: the errors of one pair of copies each, with a checksum."""
from collections.abc import Sequence
from dataclasses import dataclass
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


def _name(pair: CopyPair) -> str:
    return f'seed-{pair.seed}-round-{pair.round:02d}-from-{pair.iteration}-pair-{pair.pair}-points-{pair.points}.json'


# The origin of a measurement is the fingerprint of the ticket.
PAIRS = MeasurementFiles(
    _PairFile, CopyPair, PairErrors, 'ticket', 'another ticket than the one that is', 'seed-*.json', _name)


def read_present(run: StoredRun, seeds: Sequence[int]) -> list[tuple[CopyPair, PairErrors]]:
    """The saved pairs of these seeds and of the tickets that the run has now, in the order of round, iteration and
    seed. LthError if one of the files was changed.
    """

    def is_present(pair: CopyPair, ticket: object) -> bool:
        there = pair.seed in seeds and pair.round < run.round_count(pair.seed)
        return there and run.record(pair.seed, pair.round).ticket in (ticket, None)

    present = [(pair, errors) for pair, ticket, errors in PAIRS.read_all(run.folder) if is_present(pair, ticket)]
    return sorted(present, key=lambda entry: (entry[0].round, entry[0].iteration, entry[0].seed, entry[0].pair))
