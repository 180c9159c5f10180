"""The values of Slurm's settings: times, memory and options of sbatch, checked before anything is submitted."""
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

_DAY = 24 * 60
_MINUTES = {'minute': 1, 'hour': 60, 'day': _DAY}
_MOST_MINUTES = 366 * _DAY
# Options of sbatch that lth needs for itself, and those that are settings of their own.
_OWN = {'array', 'output', 'error', 'open-mode', 'requeue', 'no-requeue', 'signal', 'job-name', 'wrap', 'parsable',
        'chdir', 'nodes', 'ntasks', 'ntasks-per-node', 'wait', 'test-only'}
_SETTINGS = {'partition': 'partition', 'account': 'account', 'qos': 'qos', 'constraint': 'constraint', 'time': 'time',
             'mem': 'memory', 'cpus-per-task': 'cpus', 'gpus': 'gpus', 'gpus-per-node': 'gpus', 'gres': 'gpus'}


def in_minutes(text: str) -> int:
    """A time limit in minutes, rounded up. ValueError for a text that is none.

        >>> in_minutes('36 hours'), in_minutes('1-12:00:00')
        (2160, 2160)
    """

    words = re.fullmatch(r'\s*(\d{1,6})\s*(minute|hour|day)s?\s*', text)
    clock = re.fullmatch(r'(?:(\d{1,4})-)?(\d{1,4}):(\d\d):(\d\d)', text)
    if words:
        minutes = int(words[1]) * _MINUTES[words[2]]
    elif clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        minutes += days * _DAY + hours * 60 + (seconds > 0)
    else:
        raise ValueError("it should be a time such as '90 minutes', '12 hours', '2 days' or '1-12:00:00'")
    if not 1 <= minutes <= _MOST_MINUTES:
        raise ValueError('it should be at least 1 minute and at most 366 days')
    return minutes


def _check_time(value: Any) -> str:
    text = str(value)
    in_minutes(text)
    return text


def _check_memory(value: Any) -> str:
    text = str(value)
    if not re.fullmatch(r'\s*[1-9]\d{0,6}\s*[MG]B\s*', text):
        raise ValueError("it should be an amount such as '500 MB' or '16 GB'")
    return ''.join(text.split())


def _check_line(text: str) -> str:
    """The text, which becomes a line of the script for sbatch."""

    if not text.strip() or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError('it should be one line of text')
    return text


def _check_options(options: dict[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        if not re.fullmatch('[a-z][a-z0-9-]*', name):
            raise ValueError(f'{name!r} is not an option of sbatch: write its long name without dashes, as in exclude')
        if name in _SETTINGS:
            raise ValueError(f'{name} is a setting of lth: write {_SETTINGS[name]} next to sbatch')
        if name in _OWN:
            raise ValueError(f'{name} is set by lth: leave it out')
        if isinstance(value, str):
            _check_line(value)
        elif value is False:
            raise ValueError(f'{name} is false: leave it out')
    return options


Line = Annotated[str, Field(max_length=4096), AfterValidator(_check_line)]
TimeLimit = Annotated[str, BeforeValidator(_check_time)]
Memory = Annotated[str, BeforeValidator(_check_memory)]
SbatchOptions = Annotated[dict[str, str | int | bool], AfterValidator(_check_options)]
