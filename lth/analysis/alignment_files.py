"""The files of RUN-stability with the barriers between the dense networks of two seeds: one for each pair of seeds."""
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lth.analysis.measurement_files import MeasurementFiles
from lth.runs.stored import Count, ShortText, Stored
from lth.runs.trained_checksum import trained_checksums

_Barrier = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True)
class SeedPair:
    """The trained dense networks of two seeds. The channels of that of `mask_seed` are aligned to those of `seed`."""

    mask_seed: int
    seed: int

    @property
    def file_name(self) -> str:
        """See MeasuredItem."""

        return f'aligned-seed-{self.mask_seed}-with-seed-{self.seed}.json'

    @property
    def measured_rounds(self) -> tuple[tuple[int, int], ...]:
        """See MeasuredItem."""

        return (self.mask_seed, 0), (self.seed, 0)

    @property
    def order(self) -> tuple[int, ...]:
        """See MeasuredItem."""

        return self.mask_seed, self.seed


@dataclass(frozen=True)
class SeedBarriers:
    """The test error at the middle of the line between two dense networks minus the mean of both ends: as they are, and
    with aligned channels. Shares in [-1, 1].
    """

    naive: float
    aligned: float


class _SeedFile(Stored):
    """The content of a file: the checksums of the trained weights of both seeds, the pair, its barriers."""

    trained: Annotated[list[ShortText], Field(min_length=2, max_length=2)]
    mask_seed: Count
    seed: Count
    naive: _Barrier
    aligned: _Barrier


ALIGNMENTS = MeasurementFiles(
    _SeedFile, SeedPair, SeedBarriers, 'aligned-*.json', 'trained', 'other trained weights than those that are',
    lambda run, pair: trained_checksums(run, pair.measured_rounds))
