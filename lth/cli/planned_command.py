"""What a command that trains would train: the command line is parsed and planned as always, but nothing is run.

The commands in COMMANDS end with `execute`, which passes on their plans instead. To sweep over another command, let it
end so, and add its name.
"""
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth.cli import execute, usage_errors
from lth.cli.console import err
from lth.cli.executor_options import ExecutorChoice
from lth.errors import LthError, quote, suggestion
from lth.registry import trust
from lth.system import yaml_text

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
    **dict.fromkeys(('--dry-run', '--restart', '--json', '--margin', '--help'), 'a sweep has no use for it')}


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
    added = [*more, '--run', run, '--executor', executor.name, *_seed_option(command, name, seeds),
             *_setting_options('--set', settings), *_setting_options('--executor-set', executor.settings)]
    with trust.additions_ignored(), _silence(), _usage_as_lth_error(), execute.collected_plans() as collected:
        # The words of the user are last: they may end with an option without a value, or contain --.
        child = command.make_context(name, [*added, *arguments], parent=context.find_root())
        with child:
            command.invoke(child)
    return collected.pop()


def refuse_options(words: Sequence[str], context: Any, more: Sequence[str] = ()) -> None:
    """LthError if the command line has an option that a sweep decides itself, or one of those that are added to it."""

    command = context.find_root().command.commands.get(words[0])
    known = {} if command is None else {name: option for option in command.params for name in option.opts}
    for word in words[1:]:
        given = word.partition('=')[0]
        for name in known[given].opts if given in known else (given,):
            if name in _REFUSED:
                raise LthError(f'command: {name} cannot be given here: {_REFUSED[name]}. Leave it out.')
            if name in more:
                raise LthError(f'{name} is an option of lth sweep run and of the command in the grid file. Leave out '
                               'one of them.')


def _seed_option(command: Any, name: str, seeds: str | None) -> list[str]:
    if seeds is None:
        return []
    if not any('--seeds' in option.opts for option in command.params):
        raise LthError(f'seeds: {name} trains the seeds of the run that it starts from. Leave out `seeds`.')
    return ['--seeds', seeds]


def _setting_options(option: str, settings: Mapping[str, Any]) -> list[str]:
    return [word for key, value in settings.items() for word in (option, f'{key}={yaml_text.value_text(value)}')]


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
