"""The files of RUN-stability with the curvature at trained weights: one for each round of a seed, with a checksum."""
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lth.analysis.measurement_files import MeasurementFiles
from lth.runs.stored import Count, Share, ShortText, Stored
from lth.runs.trained_checksum import trained_checksum

_Length = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class MeasuredRound:
    """A round of a seed. `images` is the largest number of training images for its curvature."""

    seed: int
    round: int
    images: int

    @property
    def file_name(self) -> str:
        """See MeasuredItem."""

        return f'curvature-seed-{self.seed}-round-{self.round:02d}-images-{self.images}.json'

    @property
    def measured_rounds(self) -> tuple[tuple[int, int], ...]:
        """See MeasuredItem."""

        return ((self.seed, self.round),)

    @property
    def order(self) -> tuple[int, ...]:
        """See MeasuredItem."""

        return self.round, self.seed, self.images


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


CURVATURES = MeasurementFiles(
    _CurvatureFile, MeasuredRound, Curvature, 'curvature-*.json', 'trained',
    'other trained weights than those that are', lambda run, one: trained_checksum(run, one.seed, one.round))
