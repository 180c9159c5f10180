"""The files of RUN-stability with the curvature at trained weights: one for each round of a seed, with a checksum."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lth.analysis.measurement_files import MeasurementFiles
from lth.runs.stored import Count, Share, ShortText, Stored
from lth.runs.stored_run import StoredRun
from lth.runs.trained_checksum import trained_checksum

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


def _name(measured: MeasuredRound) -> str:
    return f'curvature-seed-{measured.seed}-round-{measured.round:02d}-images-{measured.images}.json'


# The origin of a measurement is the checksum of the trained weights.
CURVATURES = MeasurementFiles(
    _CurvatureFile, MeasuredRound, Curvature, 'trained', 'other trained weights than those that are',
    'curvature-*.json', _name)


def write(run: Path, measured: MeasuredRound, curvature: Curvature) -> None:
    """Save the curvature of a round, with the checksum of the trained weights that the run has now."""

    CURVATURES.write(run, measured, trained_checksum(run, measured.seed, measured.round), curvature)


def read(run: Path, measured: MeasuredRound) -> Curvature:
    """The saved curvature of a round. LthError if the file was changed, or was measured on other trained weights."""

    return CURVATURES.read(run, measured, trained_checksum(run, measured.seed, measured.round))


def read_present(run: StoredRun, seeds: Sequence[int]) -> list[tuple[MeasuredRound, Curvature]]:
    """The saved curvature of all rounds of these seeds, of the trained weights that the run has now, in the order of
    round, seed and images. LthError if one of the files was changed.
    """

    def is_present(one: MeasuredRound, trained: object) -> bool:
        there = one.seed in seeds and one.round < run.round_count(one.seed)
        return there and trained == trained_checksum(run.folder, one.seed, one.round)

    present = [(one, found) for one, trained, found in CURVATURES.read_all(run.folder) if is_present(one, trained)]
    return sorted(present, key=lambda entry: (entry[0].round, entry[0].seed, entry[0].images))


def read_finest(run: StoredRun, seeds: Sequence[int]) -> list[tuple[MeasuredRound, Curvature]]:
    """As `read_present`, but of a round that was measured with different numbers of images, that with the most."""

    finest = {(one.round, one.seed): (one, result) for one, result in read_present(run, seeds)}
    return list(finest.values())
