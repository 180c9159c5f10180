"""`lth pull`: download a run from the Hugging Face Hub."""
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, sharing
from lth.cli.command import command
from lth.cli.console import print_line, print_message
from lth.cli.options import Json
from lth.cli.several_runs import print_result

if TYPE_CHECKING:
    from lth.analysis.json_output.sharing import PulledRun
    from lth.sharing.pull import Pulled


@command
def pull(
        repository: Annotated[str, typer.Argument(
            metavar='OWNER/NAME', show_default=False, help='A repository on the Hub that `lth push` has written.')],
        *,
        output: Annotated[Path | None, typer.Option(
            '-o', '--output', metavar='FOLDER', show_default=False,
            help='The new folder in which the runs lie. Default: runs/NAME')] = None,
        revision: Annotated[str | None, typer.Option(
            '--revision', metavar='REVISION', show_default=False,
            help='A branch, a tag or a commit. Default: main')] = None,
        as_json: Json = False,
) -> None:
    """Download a run that was shared on the Hugging Face Hub, with all runs that start from it.

    Every file is compared with its checksums before it is put in place. Only files of runs are downloaded; code is
    neither downloaded nor run. A private repository needs a token: `hf auth login`, or HF_TOKEN. It needs the extra
    `hub`.

    [bold]Examples[/bold]

        lth pull alice/lenet-tickets

        lth pull alice/lenet-tickets -o runs/theirs --revision v1
    """

    pulled = sharing.pull.pull_run(repository, output, revision, print_message)
    notes = [f'{name} was left out: it is not a file of a run' for name in pulled.left_out]
    print_result(notes, lambda: _output(pulled), lambda: _print(pulled), as_json=as_json)


def _output(pulled: 'Pulled') -> 'PulledRun':
    return analysis.json_output.sharing.PulledRun(
        repository=pulled.repository, commit=pulled.commit, folder=pulled.folder, run=pulled.run,
        runs=list(pulled.runs), left_out=list(pulled.left_out))


def _print(pulled: 'Pulled') -> None:
    print_line(f'Downloaded to {pulled.folder}, all checksums agree. Runs:')
    for run in pulled.runs:
        print_line(f'  {run}')
    print_line('Next:')
    print_line(f'  lth show run {shlex.quote(str(pulled.run))}')
