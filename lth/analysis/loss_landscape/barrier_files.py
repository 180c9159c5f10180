"""The files of RUN-stability with the errors between successive rounds: one for each pair, with a checksum."""
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lth.errors import LthError
from lth.experiments import folders
from lth.runs import trained_checksum
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.stored import Count, Share, ShortText, Stored, validate_stored
from lth.runs.stored_run import StoredRun
from lth.system import files

PREFIX = 'between'
_ADVICE = 'Restore it from a copy, or move it away and repeat the command to measure it again.'
_MOST_BYTES = 2 ** 20
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

    def pair(self) -> RoundPair:
        """The pair."""

        return RoundPair(self.seed, self.round, self.points)

    def result(self) -> RoundErrors:
        """The errors of the pair."""

        return RoundErrors(self.errors, self.projected)


def path(run: Path, pair: RoundPair) -> Path:
    """The file of a pair, in RUN-stability."""

    name = f'{PREFIX}-seed-{pair.seed}-rounds-{pair.round - 1:02d}-{pair.round:02d}-points-{pair.points}.json'
    return folders.sibling_folder(run, 'stability') / name


def write(run: Path, pair: RoundPair, errors: RoundErrors) -> None:
    """Save the errors of a pair, with the checksums of the trained weights that the run has now."""

    file = path(run, pair)
    files.create_folder(file.parent)
    files.write(file, encode_checked({'trained': _checksums(run, pair), **asdict(pair), **asdict(errors)}))


def read(run: Path, pair: RoundPair) -> RoundErrors:
    """The saved errors of a pair. LthError if the file was changed, or was measured on other trained weights."""

    file = path(run, pair)
    stored = _read(file)
    if stored.trained != _checksums(run, pair):
        raise LthError(f'{file} was measured on other trained weights than those that are now in the run. Move the '
                       'file away and repeat the command to measure it again.')
    if stored.pair() != pair or {len(stored.errors), len(stored.projected)} != {pair.points}:
        raise LthError(f'{file} is not the file of this pair: it holds {stored.pair()}. {_ADVICE}')
    return stored.result()


def read_present(run: StoredRun, seeds: Sequence[int]) -> list[tuple[RoundPair, RoundErrors]]:
    """All saved pairs of these seeds, of the trained weights that the run has now, in the order of round, seed and
    points. LthError if one of the files was changed.
    """

    stored = [_read(file) for file in folders.sibling_folder(run.folder, 'stability').glob(f'{PREFIX}-*.json')]
    present = [one for one in stored if one.seed in seeds and one.round < run.round_count(one.seed)
               and one.trained == _checksums(run.folder, one.pair())]
    return sorted(((one.pair(), one.result()) for one in present),
                  key=lambda entry: (entry[0].round, entry[0].seed, entry[0].points))


def read_finest(run: StoredRun, seeds: Sequence[int]) -> list[tuple[RoundPair, RoundErrors]]:
    """As `read_present`, but of a pair that was measured with different numbers of points, that with the most."""

    finest = {(one.round, one.seed): (one, result) for one, result in read_present(run, seeds)}
    return list(finest.values())


def check(file: Path) -> None:
    """LthError if the file of a pair was changed."""

    _read(file)


def _checksums(run: Path, pair: RoundPair) -> list[str]:
    return [trained_checksum.trained_checksum(run, pair.seed, number) for number in pair.rounds]


def _read(file: Path) -> _PairFile:
    return validate_stored(_PairFile, read_checked(file, at_most=_MOST_BYTES, advice=_ADVICE), str(file), _ADVICE)
