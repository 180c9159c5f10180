"""The files of RUN-stability with the errors between successive rounds: one for each pair, with a checksum."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import pydantic
from pydantic import Field

from lth.analysis.measurement_files import MeasurementFiles
from lth.runs import trained_checksum
from lth.runs.stored import Count, Share, ShortText, Stored
from lth.runs.stored_run import StoredRun

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


def _name(pair: RoundPair) -> str:
    return f'between-seed-{pair.seed}-rounds-{pair.round - 1:02d}-{pair.round:02d}-points-{pair.points}.json'


# The origin of a measurement is the checksums of the trained weights of both rounds.
BARRIERS = MeasurementFiles(
    _PairFile, RoundPair, RoundErrors, 'trained', 'other trained weights than those that are', 'between-*.json', _name)


def write(run: Path, pair: RoundPair, errors: RoundErrors) -> None:
    """Save the errors of a pair, with the checksums of the trained weights that the run has now."""

    BARRIERS.write(run, pair, _checksums(run, pair), errors)


def read(run: Path, pair: RoundPair) -> RoundErrors:
    """The saved errors of a pair. LthError if the file was changed, or was measured on other trained weights."""

    return BARRIERS.read(run, pair, _checksums(run, pair))


def read_present(run: StoredRun, seeds: Sequence[int]) -> list[tuple[RoundPair, RoundErrors]]:
    """All saved pairs of these seeds, of the trained weights that the run has now, in the order of round, seed and
    points. LthError if one of the files was changed.
    """

    def is_present(pair: RoundPair, trained: object) -> bool:
        there = pair.seed in seeds and pair.round < run.round_count(pair.seed)
        return there and trained == _checksums(run.folder, pair)

    present = [(pair, errors) for pair, trained, errors in BARRIERS.read_all(run.folder) if is_present(pair, trained)]
    return sorted(present, key=lambda entry: (entry[0].round, entry[0].seed, entry[0].points))


def read_finest(run: StoredRun, seeds: Sequence[int]) -> list[tuple[RoundPair, RoundErrors]]:
    """As `read_present`, but of a pair that was measured with different numbers of points, that with the most."""

    finest = {(one.round, one.seed): (one, result) for one, result in read_present(run, seeds)}
    return list(finest.values())


def _checksums(run: Path, pair: RoundPair) -> list[str]:
    return [trained_checksum.trained_checksum(run, pair.seed, number) for number in pair.rounds]
