"""Tables of an experiment: what methods reach, with how many weights, and what that cost.

The cost of a run includes that of the run that it starts from: of a gem that was finetuned, its search.
"""
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from lth.analysis.papers import ResultTable, Side
from lth.analysis.reproduction.measures import NotMeasured, Outcome, measure
from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.training_operations import mean_training_operations
from lth.experiments.grid import GridRun
from lth.runs import sessions
from lth.runs.stored_run import StoredRun

_Number = TypeVar('_Number', int, float)


class RowResult(NamedTuple):
    """A method: the test accuracy in percent of its last round over seeds, the weights that this keeps, and for one
    seed the training steps, the multiply-adds (None if they are unknown) and the seconds of training.
    """

    name: str
    accuracy: Interval
    kept: int
    density: float
    steps: int | None
    operations: float | None
    seconds: float


@dataclass(frozen=True)
class TableResult:
    """A table with the rows whose runs were completed, and the names of the others."""

    title: str
    rows: Sequence[RowResult]
    missing: Sequence[str]


def result_tables(
        tables: Sequence[ResultTable], runs: Mapping[str, GridRun], outcomes: Mapping[str, Outcome],
) -> list[TableResult]:
    """The tables of an experiment, one for each of their values."""

    return [_table(table, value, runs, outcomes) for table in tables for value in table.values]


def _table(
        table: ResultTable, value: str, runs: Mapping[str, GridRun], outcomes: Mapping[str, Outcome]) -> TableResult:
    rows, missing = [], []
    for label, name in table.rows.items():
        try:
            rows.append(_row(label, name.format(value), runs, outcomes))
        except NotMeasured:
            missing.append(label)
    return TableResult(table.title.format(value), rows, missing)


def _row(label: str, name: str, runs: Mapping[str, GridRun], outcomes: Mapping[str, Outcome]) -> RowResult:
    """The row of a run. NotMeasured if it failed."""

    accuracies = measure('accuracy', Side(run=name), outcomes)
    seeds, chain = list(accuracies), [StoredRun.open(outcomes[run].folder) for run in _with_sources(name, runs)]
    last = chain[0].record(seeds[0], chain[0].round_count(seeds[0]) - 1)
    operations = [mean_training_operations(run, seeds) for run in chain]
    seconds = sum(sessions.total_seconds(sessions.read(run.folder)) for run in chain) / len(seeds)
    return RowResult(
        label, confidence_interval(list(accuracies.values())), last.kept, last.density,
        _total([_steps(run, seeds[0]) for run in chain]),
        _total([mean and mean.mean for mean in operations]), seconds)


def _steps(run: StoredRun, seed: int) -> int | None:
    """The training steps of a seed; None if they are unknown for a round."""

    return _total([run.record(seed, number).steps for number in range(run.round_count(seed))])


def _total(parts: Sequence[_Number | None]) -> _Number | None:
    """The sum; None if a part is unknown."""

    known = [part for part in parts if part is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(parts) else None


def _with_sources(name: str, runs: Mapping[str, GridRun]) -> Iterator[str]:
    """A run, the one that it starts from, and so on."""

    while name:
        yield name
        name = runs[name].source or ''
