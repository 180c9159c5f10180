"""The results of a run as rows for programs: one row for each round, or one row for each measurement."""
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from lth.analysis.summary_table import round_result
from lth.errors import LthError
from lth.runs.folder import Run
from lth.runs.metrics_file import MetricsLine

R = TypeVar('R', bound=NamedTuple)


class RoundRow(NamedTuple):
    """A round of one seed. Densities and accuracies are shares in [0, 1]; the early stop is the iteration of least
    validation loss.
    """

    seed: int
    round: int
    kept: int
    density: float
    test_accuracy: float
    early_stop_iteration: int
    early_stop_accuracy: float
    engine: str


class MetricRow(NamedTuple):
    """A measurement in a round of one seed. Training values are means since the measurement before, None at the start.
    `early_stop` is True for the measurement of least validation loss in the round.
    """

    seed: int
    round: int
    iteration: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float
    validation_accuracy: float
    test_loss: float
    test_accuracy: float
    early_stop: bool


class Table(tuple[R, ...]):
    """A sequence of rows, which are named tuples.

        for row in table:
            print(row.round, row.test_accuracy)
        table.to_pandas().groupby('round').test_accuracy.mean()
    """

    def __repr__(self) -> str:
        columns = self[0]._fields if self else ()
        return f'Table of {len(self)} rows: {", ".join(columns)}'

    def to_pandas(self) -> Any:
        """The rows as a pandas.DataFrame, with a column for each field. LthError if pandas is not installed."""

        try:
            import pandas  # pylint: disable=import-outside-toplevel # an optional extra
        except ImportError:
            raise LthError("to_pandas needs the package pandas. Install it with: pip install 'lth[pandas]'") from None
        return pandas.DataFrame(list(self))


def round_table(run: Run, seeds: Sequence[int]) -> Table[RoundRow]:
    """One row for each round of these seeds, in the order of seeds and rounds."""

    rows = []
    for seed, number in _completed_rounds(run, seeds):
        result = round_result(run, seed, number)
        rows.append(RoundRow(
            seed, number, result.kept, result.density, result.test_accuracy, result.early_stop,
            result.early_stop_accuracy, result.engine))
    return Table(rows)


def metric_table(run: Run, seeds: Sequence[int]) -> Table[MetricRow]:
    """One row for each measurement of these seeds, in the order of seeds, rounds and iterations."""

    rows = []
    for seed, number in _completed_rounds(run, seeds):
        rows += [_metric_row(seed, number, line) for line in run.metrics(seed, number)]
    return Table(rows)


def _metric_row(seed: int, number: int, line: MetricsLine) -> MetricRow:
    return MetricRow(
        seed, number, line.iteration, line.train_loss, line.train_accuracy, line.validation_loss,
        line.validation_accuracy, line.test_loss, line.test_accuracy, line.early_stop)


def _completed_rounds(run: Run, seeds: Sequence[int]) -> list[tuple[int, int]]:
    return [(seed, number) for seed in seeds for number in range(run.round_count(seed))]
