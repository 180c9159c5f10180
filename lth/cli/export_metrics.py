"""`lth export-metrics`: the measurements of runs as one tidy table, for pandas, R and spreadsheets."""
from pathlib import Path
from typing import Annotated

import typer

from lth import analysis
from lth.cli.command import command
from lth.cli.console import print_line
from lth.cli.options import Json
from lth.cli.several_runs import RunNames, print_result
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_paths


@command
@accepts_trust_code
def export_metrics(
        runs: RunNames,
        *,
        output: Annotated[Path, typer.Option(
            '-o', '--output', metavar='FILE', show_default=False, help='A .csv, .parquet or .json file. A file that '
                                                                       'exists is replaced.')],
        controls: Annotated[bool, typer.Option(
            '--with-controls', help='Also export the controls of the runs, in RUN-controls.')] = False,
        as_json: Json = False) -> None:
    """Export the measurements of runs as one tidy table: a row for each value, with all settings.

    The columns are run, seed, round, density, iteration, split (train, validation, test), metric (loss, accuracy),
    value, early_stop, multiply_adds and others, and one for each setting of the recipes. RUN can also be a round
    (RUN/seed-S/round-NN). Runs are read from their files: neither the data set is needed nor code that a recipe names.

    [bold]Examples[/bold]

        lth export-metrics lenet-300-100-mnist -o lenet.csv

        lth export-metrics runs/conv-* --with-controls -o conv.parquet
    """

    paths = parse_run_paths(runs)  # before the import of torch
    export = analysis.metric_export.export_metrics(paths, output, controls=controls)
    written, count = analysis.json_output.listings.ExportedMetrics, len(export.runs)
    line = f'{export.file}: {export.rows:,} rows of {count} run{"s" * (count > 1)}'
    print_result(export.notes, lambda: written.of(export), lambda: print_line(line), as_json=as_json)
