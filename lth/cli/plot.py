"""`lth plot`: figures of runs, as PNG, SVG or PDF files."""
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from lth import analysis
from lth.cli.arguments import parse_names, parse_numbers
from lth.cli.command import command
from lth.cli.console import print_line
from lth.cli.options import Json
from lth.cli.several_runs import RunNames, print_result
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_paths


@command
@accepts_trust_code
def plot(  # pylint: disable=too-many-arguments # one parameter per option
        runs: RunNames,
        *,
        figure: Annotated[str | None, typer.Option(
            '--figure', metavar='NAMES', show_default=False,
            help='Figures, such as accuracy or accuracy,learning-curves, see `lth list figures`. Default: all that the '
                 'runs have data for.')] = None,
        output: Annotated[Path | None, typer.Option(
            '-o', '--output', metavar='FILE', show_default=False,
            help='A .png, .svg or .pdf file, or a folder for one file for each figure. A .pdf file holds several '
                 'figures, one on each page. Default: RUN/figures; ./figures for several runs.')] = None,
        format_: Annotated[Literal['png', 'svg', 'pdf'] | None, typer.Option(
            '--format', show_default=False, help='Type of the files in a folder. Default: png.')] = None,
        style: Annotated[str, typer.Option(
            '--style', metavar='STYLE',
            help='screen: panels side by side, with a title; paper: as wide as a column, without one.')] = 'screen',
        rounds: Annotated[str | None, typer.Option(
            '--rounds', metavar='ROUNDS', show_default=False,
            help='Rounds, such as 0,3-7, for figures that cannot show all. Default: some of all rounds.')] = None,
        as_json: Json = False,
) -> None:
    """Draw figures of runs: accuracy against the weights that remain, learning curves, layers, and others.

    Means over seeds have a band, their 95% confidence interval. Controls are dashed. Runs are read from their files:
    neither the data set is needed nor code that a recipe names. A run that is not complete is drawn as far as it is.
    Several runs are drawn into one figure.

    [bold]Examples[/bold]

        lth plot lenet-300-100-mnist

        lth plot lenet-300-100-mnist --figure accuracy --style paper -o figure-1.pdf

        lth plot conv-2-cifar10 conv-4-cifar10 conv-6-cifar10 --figure accuracy -o conv.svg
    """

    paths, names = parse_run_paths(runs), parse_names(figure)
    numbers = None if rounds is None else parse_numbers(rounds, '--rounds')
    plotting = analysis.plotting
    target = plotting.image_files.image_target([path.folder for path in paths], output, format_)
    figures = plotting.figure_set.figure_set(paths, names, rounds=numbers)
    files = plotting.plot.save_plots(plotting.plot.plots(figures.contents, style), target)
    written = analysis.json_output.figures.FigureFiles
    print_result(figures.notes(), lambda: written.of(figures.contents, files), lambda: _print_files(files),
                 as_json=as_json)


def _print_files(files: Sequence[Path]) -> None:
    for file in dict.fromkeys(files):
        print_line(f'Figure: {file}')
