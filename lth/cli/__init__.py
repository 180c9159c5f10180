"""The command line: one file per command, which parses, calls one function, and prints. Only cli uses typer and rich.

Importing it does not import torch, so that `lth --help` is fast: commands use packages whose submodules are imported on
first use (lth.system.lazy_import). To add a command, write its function in a file and add a line here.
"""
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


class _Commands(TyperGroup):
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
    name='lth', cls=_Commands, pretty_exceptions_enable=False, rich_markup_mode='rich',
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
app.command('find-ticket', cls=RuledCommand)(find_ticket)
app.command('find-gem', cls=RuledCommand)(find_gem)
app.command('train-sparse', cls=RuledCommand)(train_sparse)
app.command('finetune', cls=RuledCommand)(finetune)
app.command('evaluate', cls=RuledCommand)(evaluate)
app.command('sanity-check', cls=RuledCommand)(sanity_check)
app.command('transfer', cls=RuledCommand)(transfer)
app.command('pool', cls=RuledCommand)(pool)
app.command('align', cls=RuledCommand)(align)
app.command('stability', cls=RuledCommand)(stability)
app.command('early-bird', cls=RuledCommand)(early_bird)
app.command('train-early-birds', cls=RuledCommand)(train_early_birds)
app.command('plot', cls=RuledCommand)(plot)
app.command('report', cls=RuledCommand)(report)
app.command('reproduce', cls=RuledCommand)(reproduce)
app.command('sweep', cls=RuledCommand)(sweep)
app.command('list', cls=RuledCommand)(list_entries)
app.command('compare', cls=RuledCommand)(compare)
app.command('export', cls=RuledCommand)(export)
app.command('export-metrics', cls=RuledCommand)(export_metrics)
app.command('card', cls=RuledCommand)(card)
app.command('push', cls=RuledCommand)(push)
app.command('pull', cls=RuledCommand)(pull)
app.command('repair', cls=RuledCommand)(repair)
app.command('prepare', cls=RuledCommand)(prepare)
app.command('show', cls=RuledCommand)(show)
app.command('convert-config', cls=RuledCommand)(convert_config)
app.command('import', cls=RuledCommand)(import_run)
app.command('bench', cls=RuledCommand)(bench)


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
