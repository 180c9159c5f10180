"""`lth report`: one HTML page about runs."""
from pathlib import Path
from typing import Annotated

import typer

from lth import analysis
from lth.cli.command import command
from lth.cli.console import print_line
from lth.cli.options import Json, Margin
from lth.cli.several_runs import RunNames, print_result
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_paths


@command
@accepts_trust_code
def report(
        runs: RunNames,
        *,
        output: Annotated[Path | None, typer.Option(
            '-o', '--output', metavar='FILE', show_default=False,
            help='A .html file. A file that exists is replaced. Default: RUN/report.html; ./report.html for several '
                 'runs.')] = None,
        margin: Margin = 0.2,
        as_json: Json = False,
) -> None:
    """Write one page about runs: what the results mean, interactive figures, tables, settings, and how to repeat them.

    The page is one HTML file, which loads nothing from elsewhere. Runs are read from their files: neither the data set
    is needed nor code that a recipe names. A run that is not complete is shown as far as it is.

    [bold]Examples[/bold]

        lth report lenet-300-100-mnist

        lth report conv-2-cifar10 conv-4-cifar10 conv-6-cifar10 -o conv.html
    """

    paths = parse_run_paths(runs)  # before the import of torch
    written = analysis.html_report.report.write_report(paths, output, margin / 100)
    listed = analysis.json_output.listings.WrittenReport
    print_result(written.notes, lambda: listed.of(written), lambda: print_line(f'Report: {written.file}'),
                 as_json=as_json)
