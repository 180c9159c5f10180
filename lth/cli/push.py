"""`lth push`: upload a run to the Hugging Face Hub."""
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, sharing
from lth.cli.card import License
from lth.cli.command import command
from lth.cli.console import print_line, print_message
from lth.cli.options import Json, Margin
from lth.cli.several_runs import print_result
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.json_output.sharing import PushedRun
    from lth.sharing.push import Pushed


@command
@accepts_trust_code
def push(
        run: Annotated[str, typer.Argument(
            metavar='RUN', show_default=False, help='A run folder: a name in ./runs, or a path.')],
        repository: Annotated[str, typer.Argument(
            metavar='OWNER/NAME', show_default=False,
            help='A repository on the Hub, which is created if it does not exist.')],
        *,
        private: Annotated[bool, typer.Option('--private', help='Create a private repository.')] = False,
        license_: License = None,
        unfinished: Annotated[bool, typer.Option(
            '--unfinished', help='Also share runs that are not complete. The card says so.')] = False,
        margin: Margin = 0.2,
        as_json: Json = False,
        dry_run: Annotated[bool, typer.Option(
            '--dry-run', help='Check everything and list the files, but upload nothing.')] = False,
) -> None:
    """Share a run on the Hugging Face Hub, with a model card, its controls, its sanity checks, and all runs that start
    from it.

    Names of machines and users, paths, logs and checkpoints are left out; the run itself is not changed. Log in with
    `hf auth login`, or set HF_TOKEN. Repeat the command to replace the files in the repository. It needs the extra
    `hub`.

    [bold]Examples[/bold]

        lth push lenet-300-100-mnist alice/lenet-tickets --license mit

        lth push lenet-300-100-mnist alice/lenet-tickets --private --dry-run
    """

    path = parse_run_path(run)  # before the import of torch
    options = sharing.push.PushOptions(
        private=private, license_=license_, unfinished=unfinished, dry_run=dry_run, margin=margin / 100)
    pushed = sharing.push.push_run(path, repository, options, print_message)
    print_result(pushed.notes, lambda: _output(pushed), lambda: _print(pushed), as_json=as_json)


def _output(pushed: 'Pushed') -> 'PushedRun':
    return analysis.json_output.sharing.PushedRun(
        repository=pushed.repository, url=pushed.url, commit=pushed.commit, runs=list(pushed.runs),
        files=list(pushed.files), bytes=pushed.size, notes=list(pushed.notes))


def _print(pushed: 'Pushed') -> None:
    if pushed.url is None:
        for name in pushed.files:
            print_line(name)
        print_line('Nothing was uploaded: --dry-run.')
        return
    print_line(f'Runs: {", ".join(pushed.runs)}')
    print_line(f'Uploaded to {pushed.url}')
    print_line(f'To download it, run: lth pull {pushed.repository}')
