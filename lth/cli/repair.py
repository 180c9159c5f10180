"""`lth repair`: find the damaged files of a run, and move them away."""
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_note
from lth.cli.options import Json
from lth.cli.trust_code import accepts_trust_code
from lth.errors import LthError, quote
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.json_output.repairs import RepairReport


@command
@accepts_trust_code
def repair(
        run: Annotated[str, typer.Argument(
            metavar='RUN', show_default=False, help='A run folder: a name in ./runs, or a path.')],
        *,
        as_json: Json = False,
        dry_run: Annotated[bool, typer.Option('--dry-run', help='Only list the damaged files, and move none.')] = False,
) -> None:
    """Check every file of a run, and move damaged rounds and those after them away, so that the search computes them
    again.

    Each file is compared with its checksum, with the recipe and the network, and with the other files of its round.
    Damaged files are moved to RUN/damaged/TIME, not deleted. The command that trained the run then trains the missing
    rounds again, with equal results.

    [bold]Examples[/bold]

        lth repair lenet-300-100-mnist --dry-run

        lth repair lenet-300-100-mnist
    """

    folder, seed, _ = parse_run_path(run)
    if seed is not None:
        raise LthError(f'{quote(run)} is a part of a run, and repair checks whole runs: give {folder}.')
    report = analysis.repair.find_damage(folder) if dry_run else analysis.repair.repair(folder)
    for note in report.notes:
        print_note(note)
    if as_json:
        print_json(report)
    else:
        _print_report(report)


def _print_report(report: 'RepairReport') -> None:
    plural = analysis.answers.words.plural
    rounds, seeds = plural(report.rounds, 'round'), plural(report.seeds, 'seed')
    counts = f'{rounds} of {seeds} and {plural(report.sessions, "session")}'
    if not report.damaged:
        print_line(f'{report.run}: nothing is damaged. Checked: {counts}.')
        return
    for damage in report.damaged:
        print_line(f'{damage.path}: {damage.problem}')
    if report.moved_to is None:
        print_line(f'{len(report.damaged)} damaged or dependent on damaged ones. Checked: {counts}. To move them away, '
                   f'run: lth repair {report.run}')
    else:
        print_line(f'Moved to {report.moved_to}. To compute the rounds again, repeat the command that trained the run.')
