"""The options of all commands that train: where the seeds are trained, and with which settings of that executor."""
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from lth import experiments
from lth.cli.added_options import AddedOption, add_options
from lth.cli.arguments import parse_setting
from lth.cli.options import COMPUTATION
from lth.errors import LthError
from lth.system import yaml_text


class ExecutorChoice(NamedTuple):
    """An executor by name, and its settings."""

    name: str
    settings: dict[str, Any]


LOCAL = ExecutorChoice('local', {})
OPTIONS = {
    'executor': AddedOption(Annotated[str, typer.Option(
        '--executor', metavar='NAME', rich_help_panel=COMPUTATION,
        help='Where seeds are trained: local, in processes of this machine, or another one of `lth list executors`.',
    )], LOCAL.name),
    'address': AddedOption(Annotated[str | None, typer.Option(
        '--address', metavar='ADDRESS', show_default=False, rich_help_panel=COMPUTATION,
        help='Address of the cluster, for executors that have one: auto, or ray://HOST:PORT.')], None),
    'executor_config': AddedOption(Annotated[Path | None, typer.Option(
        '--executor-config', metavar='FILE', show_default=False, rich_help_panel=COMPUTATION,
        help='YAML file with settings of the executor, lines of the form `key: value`.')], None),
    'executor_set': AddedOption(Annotated[list[str] | None, typer.Option(
        '--executor-set', metavar='KEY=VALUE', show_default=False, rich_help_panel=COMPUTATION,
        help='One setting of the executor, which replaces that of the file. Can be repeated.')], None)}


def accepts_executor(function: Callable[..., None]) -> Callable[..., None]:
    """The command, which has an argument `executor: ExecutorChoice`, with options from which that is made."""

    def make(values: dict[str, Any], arguments: dict[str, Any]) -> None:
        arguments['executor'] = choose(**values)
    return add_options(function, OPTIONS, make, made='executor')


def choose(
        executor: str, address: str | None, executor_config: Path | None, executor_set: Sequence[str] | None,
) -> ExecutorChoice:
    """The executor that the options name. LthError if it does not exist, or does not have these settings."""

    choice = ExecutorChoice(executor, {} if executor_config is None else yaml_text.read_yaml(executor_config))
    for text in executor_set or ():
        key, value = parse_setting(text, '--executor-set', 'partition=gpu')
        choice.settings[key] = value
    if address is not None:
        if 'address' in choice.settings:
            raise LthError('--address: the settings of the executor have an address too. Leave out one of them.')
        choice.settings['address'] = address
    if choice != LOCAL:  # whose import takes as long as torch's
        origin = '' if executor_config is None else f'{executor_config} with --executor'
        experiments.executors.make_executor(*choice, origin)
    return choice
