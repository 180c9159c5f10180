"""The output of `lth list runs`."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from lth.analysis.json_output.values import percent_or_none

if TYPE_CHECKING:
    from lth.analysis.run_list import ListedRun


@dataclass(frozen=True, kw_only=True)
class RunEntry:
    """A run below the folder. Without a readable recipe, model, data set and algorithm are None."""

    run: Path
    model: str | None
    dataset: str | None
    algorithm: str | None
    seeds: list[int]
    completed_rounds: list[int]
    planned_rounds: int | None
    test_accuracy_percent: float | None
    state: Literal['complete', 'unfinished', 'in training', 'damaged', 'unknown']
    detail: str
    source: Path | None

    @classmethod
    def of(cls, run: 'ListedRun') -> Self:
        """The entry of a run."""

        return cls(
            run=run.folder, model=run.model, dataset=run.dataset, algorithm=run.algorithm, seeds=list(run.seeds),
            completed_rounds=list(run.rounds), planned_rounds=run.planned,
            test_accuracy_percent=percent_or_none(run.test_accuracy), state=run.state, detail=run.detail,
            source=run.source)


@dataclass(frozen=True, kw_only=True)
class RunListing:
    """The output of `lth list runs`."""

    kind: Literal['runs']
    folder: Path
    entries: list[RunEntry]

    @classmethod
    def of(cls, folder: Path, runs: 'Sequence[ListedRun]') -> Self:
        """The output for the runs below a folder."""

        return cls(kind='runs', folder=folder, entries=list(map(RunEntry.of, runs)))
