"""The results of a run as rows for programs: one row for each round of a seed. Measurements are in metric_table.py."""
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from lth.analysis.metric_table import completed_rounds
from lth.analysis.summary_table import round_result
from lth.errors import LthError
from lth.runs.folder import Run

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


class Table(tuple[R, ...]):
    """A sequence of rows, which are named tuples. It becomes a data frame by one call.

        for row in table:
            print(row.round, row.test_accuracy)
        table.to_pandas().groupby('round').test_accuracy.mean()

    Rows are in the order of seeds and rounds.
    """

    def __repr__(self) -> str:
        columns = self[0]._fields if self else ()
        return f'Table of {len(self)} rows: {", ".join(columns)}'

    def to_pandas(self) -> Any:
        """The rows as a pandas.DataFrame, with a column for each field, and one for each setting of recipes. LthError
        if pandas is not installed.
        """

        try:
            import pandas  # pylint: disable=import-outside-toplevel # an optional extra
        except ImportError:
            raise LthError("to_pandas needs the package pandas. Install it with: pip install 'lth[pandas]'") from None
        frame = pandas.DataFrame(list(self))
        return frame.drop(columns='settings').join(_setting_columns(pandas, frame.settings)) \
            if 'settings' in frame else frame


def round_table(run: Run, seeds: Sequence[int]) -> Table[RoundRow]:
    """One row for each round of these seeds, in the order of seeds and rounds."""

    rows = []
    for seed, number in completed_rounds(run, seeds):
        result = round_result(run, seed, number)
        rows.append(RoundRow(
            seed, number, result.kept, result.density, result.test_accuracy, result.early_stop,
            result.early_stop_accuracy, result.engine))
    return Table(rows)


def _setting_columns(pandas: Any, settings: Any) -> Any:
    """A data frame with a column for each setting: the rows of one run share the same settings."""

    distinct = {id(one): one for one in settings}
    places = {key: place for place, key in enumerate(distinct)}
    return pandas.DataFrame(list(distinct.values())).take([places[id(one)] for one in settings]).set_axis(
        settings.index)
