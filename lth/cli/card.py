"""`lth card`: the model card of a run."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis
from lth.cli.command import command
from lth.cli.console import print_line
from lth.cli.options import Json, Margin
from lth.cli.several_runs import print_result
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.model_card.card import ModelCard

License = Annotated[str | None, typer.Option(
    '--license', metavar='LICENSE', show_default=False,
    help='The license of the weights, as the Hub writes it, such as mit or cc-by-4.0. Default: the card names none.')]


@command
@accepts_trust_code
def card(
        run: Annotated[str, typer.Argument(
            metavar='RUN', show_default=False, help='A run folder: a name in ./runs, or a path.')],
        *,
        output: Annotated[Path | None, typer.Option(
            '-o', '--output', metavar='FILE', show_default=False,
            help='A .md file. A file that exists is replaced. Default: RUN/README.md')] = None,
        license_: License = None,
        margin: Margin = 0.2,
        as_json: Json = False,
) -> None:
    """Write the model card of a run, as the Hugging Face Hub reads it, with a figure next to it.

    The card says what was found and how, what the results and the sanity checks mean, how to load the ticket with
    torch and safetensors alone or with lth, and what to cite. The run is read from its files: neither its data set is
    needed nor code that its recipe names.

    [bold]Examples[/bold]

        lth card lenet-300-100-mnist --license mit

        lth card lenet-300-100-mnist -o cards/lenet.md
    """

    path = parse_run_path(run)  # before the import of torch
    written = analysis.model_card.card.write_card(path, output, license_=license_, margin=margin / 100)
    output_of = analysis.json_output.sharing.WrittenCard
    print_result(written.notes, lambda: output_of.of(written), lambda: _print_files(written), as_json=as_json)


def _print_files(written: 'ModelCard') -> None:
    print_line(f'Model card: {written.file}')
    if written.figure:
        print_line(f'Figure: {written.figure}')
