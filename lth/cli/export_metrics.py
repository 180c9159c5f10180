"""`lth export-metrics`: the measurements of runs as one tidy table, for pandas, R and spreadsheets."""
from pathlib import Path
from typing import Annotated

import typer

from lth import analysis
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_note
from lth.cli.options import Json
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_path


@command
@accepts_trust_code
def export_metrics(
        runs: Annotated[list[str], typer.Argument(
            metavar='RUN...', show_default=False,
            help='Runs, seeds of runs (RUN/seed-S) or rounds (RUN/seed-S/round-NN). RUN is a name in ./runs, or a '
                 'path.')],
        *,
        output: Annotated[Path, typer.Option(
            '-o', '--output', metavar='FILE', show_default=False, help='A .csv, .parquet or .json file. A file that '
                                                                       'exists is replaced.')],
        controls: Annotated[bool, typer.Option(
            '--with-controls', help='Also export the controls of the runs, in RUN-controls.')] = False,
        as_json: Json = False) -> None:
    """Export the measurements of runs as one tidy table: a row for each value, with all settings.

    The columns are run, seed, round, density, iteration, split (train, validation, test), metric (loss, accuracy),
    value, early_stop, multiply_adds and others, and one for each setting of the recipes. Runs are read from their
    files: neither the data set is needed nor code that a recipe names.

    [bold]Examples[/bold]

        lth export-metrics lenet-300-100-mnist -o lenet.csv

        lth export-metrics runs/conv-* --with-controls -o conv.parquet
    """

    paths = list(map(parse_run_path, runs))
    export = analysis.metric_export.export_metrics(paths, output, controls=controls)
    for note in export.notes:
        print_note(note)
    if as_json:
        print_json(analysis.json_output.listings.ExportedMetrics.of(export))
        return
    print_line(f'{export.file}: {export.rows:,} rows of {len(export.runs)} run{"s" * (len(export.runs) > 1)}')
