"""Where a run comes from: its sessions with their environment, its recipe, and the commands that repeat it."""
import contextlib
import functools
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lth.analysis.html_report.cells import Cell, Table, integer, make_table
from lth.analysis.run_view import RunView, last_command
from lth.analysis.summary_table import algorithm_settings
from lth.errors import LthError
from lth.registry.objects import is_object
from lth.runs import sessions
from lth.runs.run_path import runs_in
from lth.system import yaml_text
from lth.system.yaml_text import Raw

# Facts of a session that the table of sessions shows.
_COLUMNS = ('host', 'lth', 'torch', 'python', 'device', 'engine')
_PACKAGES = 'packages'
# The command that starts a run, by what its algorithm finds.
_COMMANDS = {'gems': 'find-gem', 'sparse networks': 'train-sparse'}


@dataclass(frozen=True)
class Origin:
    """The commands that made a run and what starts from it, [] if programs did; its sessions as a table; all facts of
    the last session; the installed packages in the form of pip; the recipe as YAML, and how it is used.
    """

    commands: Sequence[str]
    sessions: Table
    environment: Sequence[tuple[str, str]]
    packages: Sequence[str]
    recipe: str
    recipe_command: str


def run_origin(view: RunView) -> Origin:
    """The origin of a run."""

    recorded = view.run.sessions
    last: Raw = recorded[-1] if recorded else {}
    packages = [f'{name}=={version}' for name, version in (last.get(_PACKAGES) or {}).items()]
    return Origin(list(_commands(view)), _session_table(recorded), list(_facts(last)), packages,
                  yaml_text.dump_yaml(view.run.recipe), _recipe_command(view))


def _commands(view: RunView) -> list[str]:
    """The commands of all sessions of the run, of its controls and of what starts from it, each once."""

    folders = [view.run.folder, *(run.folder for draws in view.controls.values() for run in draws)]
    for folder in view.derived:
        folders += [folder, *runs_in(folder)]
    entries = [entry for folder in folders for entry in _readable_sessions(folder)]
    entries.sort(key=lambda entry: str(entry.get('start')))
    return list(dict.fromkeys(filter(None, map(_command, entries))))


def _readable_sessions(folder: Path) -> list[Raw]:
    """The sessions of a folder, [] if they are damaged: another command says so."""

    with contextlib.suppress(LthError):
        return sessions.read(folder)
    return []


def _command(entry: Raw) -> str:
    """The command of a session, with its folder if this is another one."""

    command = shlex.join(last_command([entry]))
    directory = entry.get('directory')
    if not command or directory in (None, os.getcwd()):
        return command
    return f'cd {shlex.quote(str(directory))} && {command}'


def _recipe_command(view: RunView) -> str:
    """The command that repeats a search by its recipe, '' for runs that start from others, or from Python objects."""

    recipe = view.run.recipe
    if view.run.source_folder or any(is_object(recipe[section]['name']) for section in ('model', 'data')):
        return ''
    command = _COMMANDS.get(algorithm_settings(view.run).finds, 'find-ticket')
    density = None if command == 'find-ticket' else recipe['algorithm'].get('density')
    return shlex.join([
        'lth', command, recipe['model']['name'], recipe['data']['name'],
        *([] if density is None else ['--density', str(density)]),
        '--recipe', 'recipe.yaml', '--seeds', ','.join(map(str, view.seeds))])


def _session_table(entries: Sequence[Raw]) -> Table:
    return make_table('Sessions', {
        'start': lambda entry: Cell(_time(entry.get('start'))),
        'seconds': lambda entry: Cell(f'{entry.get("seconds", 0):,.0f}', entry.get('seconds', 0)),
        'saved rounds': lambda entry: integer(entry.get('rounds')),
        **{key: functools.partial(_fact, key=key) for key in _COLUMNS},
        'threads': lambda entry: integer(entry.get('threads'))}, entries)


def _fact(entry: Raw, key: str) -> Cell:
    return Cell(_text(entry.get(key)))


def _time(start: str | None) -> str:
    """When a session started, in UTC; as it was recorded if that is not a time."""

    with contextlib.suppress(ValueError):
        return f'{datetime.fromisoformat(start or "").astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC'
    return start or ''


def _facts(entry: Raw) -> Iterator[tuple[str, str]]:
    """All facts of a session but its packages, as text."""

    for key, value in entry.items():
        if key != _PACKAGES and value not in (None, [], {}):
            yield key.replace('_', ' '), shlex.join(value) if key == 'command' else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ', '.join(map(str, value))
    if isinstance(value, dict):
        return '; '.join(f'{key}: {_text(inner)}' for key, inner in value.items())
    return '' if value is None else str(value)
