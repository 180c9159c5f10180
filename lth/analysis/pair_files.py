"""The files of RUN-stability: the errors of one pair of copies each, with a checksum."""
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lth.errors import LthError
from lth.experiments import folders
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.stored import Count, Share, ShortText, Stored, validate_stored
from lth.runs.stored_run import StoredRun
from lth.system import files

_ADVICE = 'Restore it from a copy, or move it away and repeat the command to measure it again.'
_MOST_BYTES = 2 ** 20


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
    """The content of a file: the pair, the fingerprint of its ticket, its errors."""

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


def path(run: Path, pair: CopyPair) -> Path:
    """The file of a pair, in RUN-stability."""

    name = f'seed-{pair.seed}-round-{pair.round:02d}-from-{pair.iteration}-pair-{pair.pair}-points-{pair.points}.json'
    return folders.sibling_folder(run, 'stability') / name


def write(run: Path, pair: CopyPair, ticket: str, errors: PairErrors) -> None:
    """Save the errors of a pair, whose ticket has this fingerprint."""

    file = path(run, pair)
    files.create_folder(file.parent)
    files.write(file, encode_checked({'ticket': ticket, **asdict(pair), **asdict(errors)}))


def read(run: Path, pair: CopyPair, ticket: str) -> PairErrors:
    """The saved errors of a pair. LthError if the file was changed, or is of a ticket with another fingerprint."""

    file = path(run, pair)
    stored = _read(file)
    if stored.ticket != ticket:
        raise LthError(f'{file} was measured on another ticket than the one that is now in the run. Move the file '
                       'away and repeat the command to measure it again.')
    found = CopyPair(stored.seed, stored.round, stored.iteration, stored.pair, stored.points)
    if found != pair or len(stored.errors) != pair.points:
        raise LthError(f'{file} is not the file of this pair: it holds {found}. {_ADVICE}')
    return PairErrors(stored.errors, stored.distance, stored.angle, stored.signs)


def read_all(run: Path) -> list[tuple[CopyPair, str, PairErrors]]:
    """All saved pairs of a run, in the order of round, iteration and seed: each with the fingerprint of its ticket and
    its errors. LthError if one of the files was changed.
    """

    found = []
    for file in folders.sibling_folder(run, 'stability').glob('seed-*.json'):
        stored = _read(file)
        pair = CopyPair(stored.seed, stored.round, stored.iteration, stored.pair, stored.points)
        found.append((pair, stored.ticket, PairErrors(stored.errors, stored.distance, stored.angle, stored.signs)))
    return sorted(found, key=lambda entry: (entry[0].round, entry[0].iteration, entry[0].seed, entry[0].pair))


def read_present(run: StoredRun, seeds: Sequence[int]) -> list[tuple[CopyPair, PairErrors]]:
    """As `read_all`, of these seeds and of the tickets that the run has now."""

    def is_present(pair: CopyPair, ticket: str) -> bool:
        there = pair.seed in seeds and pair.round < run.round_count(pair.seed)
        return there and run.record(pair.seed, pair.round).ticket in (ticket, None)

    return [(pair, errors) for pair, ticket, errors in read_all(run.folder) if is_present(pair, ticket)]


def check(file: Path) -> None:
    """LthError if the file of a pair was changed."""

    _read(file)


def _read(file: Path) -> _PairFile:
    return validate_stored(_PairFile, read_checked(file, at_most=_MOST_BYTES, advice=_ADVICE), str(file), _ADVICE)
