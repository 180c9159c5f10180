"""The measurements of several runs in one file: CSV, JSON or Parquet. Rows are written as they are read.

To add a type, write a function (file, columns, rows) and add it to `_WRITERS`.
"""
import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lth.analysis.metric_table import MetricRow, completed_rounds, metric_rows
from lth.analysis.run_view import view_run
from lth.errors import LthError, quote
from lth.recipes.flat_settings import Setting, flat_settings
from lth.runs.run_path import RunPath
from lth.runs.stored_run import StoredRun
from lth.system import files

# The type of each column; those of settings follow from their values.
Columns = Mapping[str, type]
_Rows = Iterator[Mapping[str, Setting]]
_MOST_ROWS_IN_MEMORY = 50_000
_COLUMNS: Columns = {
    'run': str, 'seed': int, 'round': int, 'density': float, 'iteration': int, 'split': str, 'metric': str,
    'value': float, 'early_stop': bool, 'multiply_adds': int, 'dense_multiply_adds': int, 'training_multiply_adds': int}


class _Selection(NamedTuple):
    """The seeds and rounds of a run that are exported, in order and each once."""

    run: StoredRun
    rounds: dict[tuple[int, int], None]


class MetricExport(NamedTuple):
    """A file with measurements: how many rows it has, and of which runs. `notes` says what was left out."""

    file: Path
    rows: int
    runs: tuple[Path, ...]
    notes: tuple[str, ...]


def export_metrics(paths: Sequence[RunPath], output: Path, *, controls: bool = False) -> MetricExport:
    """Write the measurements of the runs, seeds or rounds at these paths, and of the controls of these runs if asked,
    to a file whose name says its type. LthError if nothing was measured, or if the file cannot be written.
    """

    writer = _writer(output)
    selections, notes = _selections(paths, controls=controls)
    columns = _columns([run for run, _ in selections])
    counted = _Counted(_records(selections))
    try:
        with files.open_atomically(output) as file:
            writer(file, columns, counted)
    except OSError as error:
        raise files.output_error(output, error) from None
    return MetricExport(output, counted.count, tuple(one.run.folder for one in selections), tuple(notes))


def _selections(paths: Sequence[RunPath], *, controls: bool) -> tuple[list[_Selection], list[str]]:
    """What is exported of each run, and sentences about what is left out."""

    selections: dict[Path, _Selection] = {}
    notes: list[str] = []
    for path in paths:
        view = view_run(path)
        notes += view.left_out
        for run in (view.run, *itertools.chain(*view.controls.values() if controls else ())):
            selection = selections.setdefault(run.folder.resolve(), _Selection(run, {}))
            selection.rounds.update(dict.fromkeys(_rounds_at(path, run)))
    return list(selections.values()), list(dict.fromkeys(notes))


def _rounds_at(path: RunPath, run: StoredRun) -> Iterator[tuple[int, int]]:
    """The seeds and rounds of a run that a path names."""

    seeds = [seed for seed in run.seeds() if path.seed in (None, seed)]
    return (pair for pair in completed_rounds(run, seeds) if path.round in (None, pair[1]))


def _writer(output: Path) -> Callable[[BinaryIO, Columns, _Rows], None]:
    """The function that writes this type of file. LthError if there is none, or if it needs a missing package."""

    writer = _WRITERS.get(output.suffix.lower())
    if writer is None:
        raise LthError(f'-o: the type of {quote(str(output))} is unknown. End the name with one of '
                       f'{", ".join(_WRITERS)}.')
    if output.is_dir():
        raise LthError(f'-o: {quote(str(output))} is a folder. Give the name of a file.')
    if writer is _write_parquet:
        _pyarrow()
    return writer


def _columns(runs: Sequence[StoredRun]) -> dict[str, type]:
    """The columns with their types: settings that are numbers in all runs are numbers, others are text."""

    settings: dict[str, set[type]] = {}
    for run in runs:
        for name, value in flat_settings(run.recipe).items():
            settings.setdefault(name, set()).update(() if value is None else {type(value)})
    return {**_COLUMNS, **{name: _common_type(types) for name, types in settings.items()}}


def _common_type(types: set[type]) -> type:
    if types == {int, float}:
        return float
    return next(iter(types)) if len(types) == 1 else str


def _records(selections: Sequence[_Selection]) -> _Rows:
    for run, rounds in selections:
        yield from map(_record, metric_rows(run, rounds))


def _record(row: MetricRow) -> dict[str, Setting]:
    fields = row._asdict()
    settings: Mapping[str, Setting] = fields.pop('settings')
    return {**fields, **settings}


class _Counted(Iterator[Mapping[str, Setting]]):
    """Rows that are counted as they are read."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        self.count = 0

    def __next__(self) -> Mapping[str, Setting]:
        row = next(self._rows)
        self.count += 1
        return row


def _write_csv(file: BinaryIO, columns: Columns, rows: _Rows) -> None:
    """RFC 4180 in UTF-8; what is unknown is empty."""

    text = io.TextIOWrapper(file, 'utf-8', newline='', write_through=True)
    writer = csv.DictWriter(text, list(columns), restval='')
    writer.writeheader()
    writer.writerows(rows)
    text.detach()


def _write_json(file: BinaryIO, columns: Columns, rows: _Rows) -> None:
    """A list with an object for each row; what is unknown is null."""

    empty = dict.fromkeys(columns)
    separator = '[\n'
    for row in rows:
        file.write(f'{separator}{json.dumps({**empty, **row}, allow_nan=False)}'.encode())
        separator = ',\n'
    file.write(b'[]\n' if separator == '[\n' else b'\n]\n')


def _write_parquet(file: BinaryIO, columns: Columns, rows: _Rows) -> None:
    arrow = _pyarrow()
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with arrow.parquet.ParquetWriter(file, schema, compression='zstd') as writer:
        while part := list(itertools.islice(rows, _MOST_ROWS_IN_MEMORY)):
            content = {name: [_converted(row.get(name), kind) for row in part] for name, kind in columns.items()}
            writer.write_table(arrow.table(content, schema))


def _converted(value: Setting, kind: type) -> Any:
    return value if value is None else kind(value)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet  # pylint: disable=import-outside-toplevel # an optional extra
    except ImportError:
        raise LthError("Parquet files need the package pyarrow. Install it with: pip install 'lth[pandas]'; or write a "
                       '.csv or .json file.') from None
    return pyarrow


_WRITERS: dict[str, Callable[[BinaryIO, Columns, _Rows], None]] = {
    '.csv': _write_csv, '.parquet': _write_parquet, '.json': _write_json}
