"""The files of RUN-stability with the curvature at trained weights: one for each round of a seed, with a checksum."""
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
from lth.runs.trained_checksum import trained_checksum
from lth.system import files

PREFIX = 'curvature'
_ADVICE = 'Restore it from a copy, or move it away and repeat the command to measure it again.'
_MOST_BYTES = 2 ** 16
_Length = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class MeasuredRound:
    """A round of a seed. `images` is the largest number of training images for its curvature."""

    seed: int
    round: int
    images: int


@dataclass(frozen=True)
class Curvature:
    """At the trained weights of a round: the largest eigenvalue of the Hessian of the loss on `used_images` training
    images, its trace and the standard error of that, 0 if it is exact. From the ticket to them: the distance travelled,
    the length of the ticket's weights, and the share of flipped signs. All of these are about kept weights.
    """

    used_images: int
    eigenvalue: float
    trace: float
    trace_error: float
    distance: float
    start_length: float
    flips: float

    @property
    def relative_distance(self) -> float | None:
        """The distance divided by the length of the ticket's weights, None if they are all 0."""

        return self.distance / self.start_length if self.start_length else None


class _CurvatureFile(Stored):
    """The content of a file: the checksum of the trained weights, the round, its curvature."""

    trained: ShortText
    seed: Count
    round: Count
    images: Count
    used_images: Count
    eigenvalue: float
    trace: float
    trace_error: _Length
    distance: _Length
    start_length: _Length
    flips: Share

    def measured(self) -> MeasuredRound:
        """The round."""

        return MeasuredRound(self.seed, self.round, self.images)

    def result(self) -> Curvature:
        """Its curvature."""

        return Curvature(self.used_images, self.eigenvalue, self.trace, self.trace_error, self.distance,
                         self.start_length, self.flips)


def path(run: Path, measured: MeasuredRound) -> Path:
    """The file of a round, in RUN-stability."""

    name = f'{PREFIX}-seed-{measured.seed}-round-{measured.round:02d}-images-{measured.images}.json'
    return folders.sibling_folder(run, 'stability') / name


def write(run: Path, measured: MeasuredRound, curvature: Curvature) -> None:
    """Save the curvature of a round, with the checksum of the trained weights that the run has now."""

    file = path(run, measured)
    files.create_folder(file.parent)
    files.write(file, encode_checked({
        'trained': trained_checksum(run, measured.seed, measured.round), **asdict(measured), **asdict(curvature)}))


def read(run: Path, measured: MeasuredRound) -> Curvature:
    """The saved curvature of a round. LthError if the file was changed, or was measured on other trained weights."""

    file = path(run, measured)
    stored = _read(file)
    if stored.measured() != measured:
        raise LthError(f'{file} is not the file of this round: it holds {stored.measured()}. {_ADVICE}')
    if stored.trained != trained_checksum(run, measured.seed, measured.round):
        raise LthError(f'{file} was measured on other trained weights than those that are now in the run. Move the '
                       'file away and repeat the command to measure it again.')
    return stored.result()


def read_present(run: StoredRun, seeds: Sequence[int]) -> list[tuple[MeasuredRound, Curvature]]:
    """The saved curvature of all rounds of these seeds, of the trained weights that the run has now, in the order of
    round, seed and images. LthError if one of the files was changed.
    """

    stored = [_read(file) for file in folders.sibling_folder(run.folder, 'stability').glob(f'{PREFIX}-*.json')]
    present = [one for one in stored if one.seed in seeds and one.round < run.round_count(one.seed)
               and one.trained == trained_checksum(run.folder, one.seed, one.round)]
    return sorted(((one.measured(), one.result()) for one in present),
                  key=lambda entry: (entry[0].round, entry[0].seed, entry[0].images))


def read_finest(run: StoredRun, seeds: Sequence[int]) -> list[tuple[MeasuredRound, Curvature]]:
    """As `read_present`, but of a round that was measured with different numbers of images, that with the most."""

    finest = {(one.round, one.seed): (one, result) for one, result in read_present(run, seeds)}
    return list(finest.values())


def check(file: Path) -> None:
    """LthError if the file of a round was changed."""

    _read(file)


def _read(file: Path) -> _CurvatureFile:
    raw = read_checked(file, at_most=_MOST_BYTES, advice=_ADVICE)
    return validate_stored(_CurvatureFile, raw, str(file), _ADVICE)
