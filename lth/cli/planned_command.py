"""What a command that trains would train: the command line is parsed and planned as always, but nothing is run.

The commands in COMMANDS end with `execute`, which passes on their plans instead. To sweep over another command, let it
end so, and add its name.
"""
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from lth.cli import execute, usage_errors
from lth.cli.console import err
from lth.cli.executor_options import ExecutorChoice
from lth.errors import LthError, quote, suggestion
from lth.registry import trust

if TYPE_CHECKING:
    from lth.experiments.sweeps.cells import PlannedCell

COMMANDS = ('find-ticket', 'find-gem', 'finetune', 'transfer')
# What a sweep decides itself, or has no use for.
_REFUSED = {
    '--run': 'the folders of the runs are named by `folder` of the grid file and by the settings',
    '--seeds': 'the seeds are the key `seeds` of the grid file',
    '--finetune': 'finetune the gems by a further sweep, or by lth finetune',
    **dict.fromkeys(('--executor', '--executor-set', '--executor-config', '--address'),
                    'the executor is an option of lth sweep run'),
    **dict.fromkeys(('--dry-run', '--restart', '--json', '--margin'), 'a sweep has no use for it')}


def plan_command(
        words: Sequence[str], context: Any, *, run: str, seeds: str | None, settings: Mapping[str, Any],
        executor: ExecutorChoice, more: Sequence[str] = ()) -> 'PlannedCell':
    """The plans of a command line, with its run folder, its seeds, further settings and options added to it. `context`
    is that of the present command. LthError for what the command itself would refuse.
    """

    name, *arguments = words
    command = context.find_root().command.commands.get(name)
    if command is None or name not in COMMANDS:
        raise LthError(f'command: {quote(name)} is not a command that can be swept{suggestion(name, COMMANDS)}')
    arguments += [*more, '--run', run, *_seed_option(command, name, seeds)]
    arguments += [word for key, value in settings.items() for word in ('--set', f'{key}={json.dumps(value)}')]
    arguments += ['--executor', executor.name]
    arguments += [word for key, value in executor.settings.items()
                  for word in ('--executor-set', f'{key}={json.dumps(value)}')]
    with trust.additions_ignored(), _silence(), _usage_as_lth_error(), execute.collected_plans() as collected:
        child = command.make_context(name, arguments, parent=context.find_root())
        with child:
            command.invoke(child)
    return collected.pop()


def refuse_options(words: Sequence[str], context: Any) -> None:
    """LthError if the command line has an option that a sweep decides itself."""

    command = context.find_root().command.commands.get(words[0])
    known = {} if command is None else {name: option for option in command.params for name in option.opts}
    for word in words[1:]:
        option = known.get(word.partition('=')[0])
        for name in (option.opts if option else ()):
            if name in _REFUSED:
                raise LthError(f'command: {name} cannot be given here: {_REFUSED[name]}. Leave it out.')


def _seed_option(command: Any, name: str, seeds: str | None) -> list[str]:
    if seeds is None:
        return []
    if not any('--seeds' in option.opts for option in command.params):
        raise LthError(f'seeds: {name} trains the seeds of the run that it starts from. Leave out `seeds`.')
    return ['--seeds', seeds]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Print no messages in the block: each cell would repeat them."""

    before, err.quiet = err.quiet, True
    try:
        yield
    finally:
        err.quiet = before


@contextlib.contextmanager
def _usage_as_lth_error() -> Iterator[None]:
    try:
        yield
    except usage_errors.UsageError as error:
        raise LthError(usage_errors.explain(error)) from None
    except typer.Exit:  # of --help
        raise LthError('command: it only prints help. Leave --help out.') from None
