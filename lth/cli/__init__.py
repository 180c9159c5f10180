"""The command line: one file per command, which parses, calls one function, and prints. Only cli uses typer and rich.

Importing it does not import torch, so that `lth --help` is fast: commands use packages whose submodules are imported on
first use (lth.system.lazy_import). To add a command, write its function in a file and add it to `_COMMANDS`.
"""
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from lth import __version__
from lth.cli.align import align
from lth.cli.bench import bench
from lth.cli.card import card
from lth.cli.command import Tracebacks, exit_codes
from lth.cli.console import print_raw
from lth.cli.compare import compare
from lth.cli.convert_config import convert_config
from lth.cli.early_bird import early_bird
from lth.cli.evaluate import evaluate
from lth.cli.export import export
from lth.cli.export_metrics import export_metrics
from lth.cli.find_gem import find_gem
from lth.cli.find_ticket import find_ticket
from lth.cli.finetune import finetune
from lth.cli.import_run import import_run
from lth.cli.list import list_entries
from lth.cli.option_rules import RuledCommand
from lth.cli.plot import plot
from lth.cli.pool import pool
from lth.cli.prepare import prepare
from lth.cli.pull import pull
from lth.cli.push import push
from lth.cli.repair import repair
from lth.cli.report import report
from lth.cli.reproduce import reproduce
from lth.cli.sanity_check import sanity_check
from lth.cli.show import show
from lth.cli.stability import stability
from lth.cli.sweep import sweep
from lth.system.streams import standard_output
from lth.cli.train_early_birds import train_early_birds
from lth.cli.train_sparse import train_sparse
from lth.cli.transfer import transfer
from lth.cli.trust_code import start_without_user_code
from lth.cli.usage_errors import usage_errors


# By the headings under which `lth --help` lists them.
_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    'Find': {
        'find-ticket': find_ticket, 'find-gem': find_gem, 'train-sparse': train_sparse, 'sweep': sweep,
        'reproduce': reproduce},
    'Train what was found': {
        'finetune': finetune, 'transfer': transfer, 'align': align, 'train-early-birds': train_early_birds,
        'pool': pool},
    'Check and measure': {
        'evaluate': evaluate, 'sanity-check': sanity_check, 'stability': stability, 'early-bird': early_bird},
    'See': {
        'list': list_entries, 'show': show, 'plot': plot, 'report': report, 'compare': compare,
        'export-metrics': export_metrics},
    'Share and convert': {
        'export': export, 'card': card, 'push': push, 'pull': pull, 'import': import_run,
        'convert-config': convert_config},
    'Maintain': {'prepare': prepare, 'repair': repair, 'bench': bench}}


class _Group(TyperGroup):
    """The commands. Mistakes on the command line are told in one paragraph."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the options before the command."""

        with usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parse the arguments of the command, and run it."""

        with usage_errors():
            return super().invoke(ctx)


app = typer.Typer(
    name='lth', cls=_Group, pretty_exceptions_enable=False, rich_markup_mode='rich',
    context_settings={'help_option_names': ['-h', '--help']},
    help='Find and study [bold]lottery tickets[/bold] and [bold]rare gems[/bold]: sparse subnetworks that, trained '
         'from their initial weights, are as accurate as the dense network.\n\n'
         'Start with this example. It takes less than a minute and downloads nothing:\n\n'
         '    lth find-ticket lenet-300-100 digits\n\n'
         '    lth evaluate lenet-300-100-digits\n\n'
         'To see the options of a command, run for example [bold]lth find-ticket --help[/bold].',
    epilog='Exit codes: 0 success (a sanity check that fails is a result), 1 a claim that does not agree with '
           '--strict, or cells of a sweep that failed, 2 wrong input or damaged files, 3 the '
           'environment (disk, memory, lock, network), 70 a bug of lth, 129 SIGHUP, 130 Ctrl-C, 141 standard '
           'output was closed, 143 SIGTERM.')
for _panel, _functions in _COMMANDS.items():
    for _name, _function in _functions.items():
        app.command(_name, cls=RuledCommand, rich_help_panel=_panel)(_function)


@app.callback(invoke_without_command=True)
def _options(
        context: typer.Context,
        version: bool = typer.Option(False, '--version', help='Print the version and exit.'),
        traceback: bool = typer.Option(
            False, '--traceback', help='Print the traceback of an error in your own code or in a plug-in: lth '
                                       '--traceback find-ticket ...')) -> None:
    Tracebacks.shown = traceback
    start_without_user_code(context)
    if version:
        with exit_codes():
            print_raw(f'lth {__version__}')
            standard_output.flush()
        raise typer.Exit()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
