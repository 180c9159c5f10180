"""The files of RUN-stability with the barriers between the dense networks of two seeds: one for each pair of seeds."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lth.analysis.measurement_files import MeasurementFiles
from lth.runs.stored import Count, ShortText, Stored
from lth.runs.stored_run import StoredRun
from lth.runs.trained_checksum import trained_checksum

_Barrier = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True)
class SeedPair:
    """The trained dense networks of two seeds. The channels of that of `mask_seed` are aligned to those of `seed`."""

    mask_seed: int
    seed: int


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


def _name(pair: SeedPair) -> str:
    return f'aligned-seed-{pair.mask_seed}-with-seed-{pair.seed}.json'


# The origin of a measurement is the checksums of the trained weights of both dense networks.
ALIGNMENTS = MeasurementFiles(
    _SeedFile, SeedPair, SeedBarriers, 'trained', 'other trained weights than those that are', 'aligned-*.json', _name)


def write(run: Path, pair: SeedPair, barriers: SeedBarriers) -> None:
    """Save the barriers of a pair, with the checksums of the trained weights that the run has now."""

    ALIGNMENTS.write(run, pair, _checksums(run, pair), barriers)


def read(run: Path, pair: SeedPair) -> SeedBarriers:
    """The saved barriers of a pair. LthError if the file was changed, or was measured on other trained weights."""

    return ALIGNMENTS.read(run, pair, _checksums(run, pair))


def read_present(run: StoredRun, seeds: Sequence[int]) -> list[tuple[SeedPair, SeedBarriers]]:
    """The saved pairs of these seeds, of the trained weights that the run has now, in order. LthError if one of the
    files was changed.
    """

    def is_present(pair: SeedPair, trained: object) -> bool:
        return {pair.mask_seed, pair.seed} <= set(seeds) and trained == _checksums(run.folder, pair)

    found = ALIGNMENTS.read_all(run.folder)
    present = [(pair, barriers) for pair, trained, barriers in found if is_present(pair, trained)]
    return sorted(present, key=lambda entry: (entry[0].mask_seed, entry[0].seed))


def _checksums(run: Path, pair: SeedPair) -> list[str]:
    return [trained_checksum(run, seed, 0) for seed in (pair.mask_seed, pair.seed)]
