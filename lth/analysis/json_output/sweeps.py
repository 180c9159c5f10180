"""A sweep and its cells: the output of `lth sweep`."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from lth.analysis.json_output.values import percent_or_none

if TYPE_CHECKING:
    from lth.analysis.sweep_status import CellStatus
    from lth.experiments.sweeps.estimate import SweepTimes
    from lth.experiments.sweeps.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class PlannedSweepCell:
    """A cell that is not trained yet, or in part. `iterations` are those of all its runs and seeds."""

    cell: str
    settings: dict[str, Any]
    digest: str
    state: Literal['pending', 'running', 'complete', 'failed']
    iterations: int


@dataclass(frozen=True, kw_only=True)
class PlannedSweep:
    """The output of `lth sweep run --dry-run`. `core_seconds` is the estimated time of all seeds that are missing, one
    after another on this machine, and `seconds` with as many at the same time as there are cores; None if the images
    could not be read.
    """

    folder: Path
    cells: list[PlannedSweepCell]
    missing: int
    core_seconds: float | None
    seconds: float | None

    @classmethod
    def of(cls, sweep: 'Sweep', times: 'SweepTimes | None') -> Self:
        """The output for a sweep and its estimated times."""

        cells = [PlannedSweepCell(
            cell=cell.name, settings=dict(cell.settings), digest=cell.digest, state=record.state,
            iterations=cell.iterations) for cell, record in zip(sweep.cells, sweep.records(), strict=True)]
        return cls(folder=sweep.folder, cells=cells, missing=sum(cell.state != 'complete' for cell in cells),
                   core_seconds=times and times.core_seconds, seconds=times and times.seconds)


@dataclass(frozen=True, kw_only=True)
class SweepCell:
    """A cell: its run folder, its settings, the digest of its recipe, and how far it is. `rounds` are the completed
    rounds of its `seeds`, `planned_rounds` that of each when the run is complete. `reason` says why it failed.
    """

    cell: str
    folder: Path
    settings: dict[str, Any]
    digest: str
    state: Literal['pending', 'running', 'complete', 'failed']
    reason: str | None
    seeds: list[int]
    rounds: list[int]
    planned_rounds: int | None
    test_accuracy_percent: float | None

    @classmethod
    def of(cls, status: 'CellStatus') -> Self:
        """The output for a cell."""

        run, record = status.run, status.record
        return cls(
            cell=record.cell, folder=status.folder, settings=record.settings, digest=record.digest, state=status.state,
            reason=status.reason, seeds=record.seeds, rounds=list(run.rounds) if run else [],
            planned_rounds=run.planned if run else None,
            test_accuracy_percent=percent_or_none(run.test_accuracy) if run else None)


@dataclass(frozen=True, kw_only=True)
class SweepReport:
    """The output of `lth sweep run` and `lth sweep status`: the cells, and how many are in each state."""

    folder: Path
    complete: int
    failed: int
    pending: int
    running: int
    cells: list[SweepCell]

    @classmethod
    def of(cls, folder: Path, cells: Sequence['CellStatus']) -> Self:
        """The output for the cells of the sweep in the folder."""

        states = [cell.state for cell in cells]
        return cls(folder=folder, complete=states.count('complete'), failed=states.count('failed'),
                   pending=states.count('pending'), running=states.count('running'),
                   cells=list(map(SweepCell.of, cells)))
