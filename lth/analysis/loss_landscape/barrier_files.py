"""The files of RUN-stability with the errors between successive rounds: one for each pair, with a checksum."""
from dataclasses import dataclass
from typing import Annotated, Self

import pydantic
from pydantic import Field

from lth.analysis.measurement_files import MeasurementFiles
from lth.runs.stored import Count, Share, ShortText, Stored
from lth.runs.trained_checksum import trained_checksums

_Errors = Annotated[list[Share], Field(min_length=2, max_length=100_000)]


@dataclass(frozen=True)
class RoundPair:
    """The trained networks of a seed in round `round` and in the round before it. `points` is the number of points on
    each line between them, both ends included.
    """

    seed: int
    round: int
    points: int

    @property
    def rounds(self) -> tuple[int, int]:
        """The round before, and the round."""

        return self.round - 1, self.round

    @property
    def file_name(self) -> str:
        """See MeasuredItem."""

        return f'between-seed-{self.seed}-rounds-{self.round - 1:02d}-{self.round:02d}-points-{self.points}.json'

    @property
    def measured_rounds(self) -> tuple[tuple[int, int], ...]:
        """See MeasuredItem."""

        return tuple((self.seed, number) for number in self.rounds)

    @property
    def order(self) -> tuple[int, ...]:
        """See MeasuredItem."""

        return self.round, self.seed, self.points


@dataclass(frozen=True)
class RoundErrors:
    """Test errors at equal steps on two lines that end at the trained weights of a round: `errors` from the trained
    weights of the round before, `projected` from these weights under the mask of the round.
    """

    errors: list[float]
    projected: list[float]

    @property
    def barrier(self) -> float:
        """The highest error on the line minus the mean of both ends."""

        return max(self.errors) - (self.errors[0] + self.errors[-1]) / 2

    @property
    def pruning_cost(self) -> float:
        """How much the error rises when the weights are pruned, before any training."""

        return self.projected[0] - self.errors[0]


class _PairFile(Stored):
    """The content of a file: the checksums of the trained weights of both rounds, the pair, its errors."""

    trained: Annotated[list[ShortText], Field(min_length=2, max_length=2)]
    seed: Count
    round: Annotated[Count, Field(ge=1)]
    points: Count
    errors: _Errors
    projected: _Errors

    @pydantic.model_validator(mode='after')
    def _there_are_errors_for_each_point(self) -> Self:
        if {len(self.errors), len(self.projected)} != {self.points}:
            raise ValueError('it should have two errors for each point')
        return self


BARRIERS = MeasurementFiles(
    _PairFile, RoundPair, RoundErrors, 'between-*.json', 'trained', 'other trained weights than those that are',
    lambda run, pair: trained_checksums(run, pair.measured_rounds))
