"""How this process was started: alone, or by torchrun as one of several ranks, which train one network together."""
import os
import shlex
import socket
import sys
from typing import NamedTuple

from lth.errors import LthError, quote

# torchrun sets all of these. Some clusters set one or two of them for other purposes.
_VARIABLES = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')


class Launch(NamedTuple):
    """The number of this process among `size` ranks, and its number among the `local_size` ranks of this machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def launch() -> Launch | None:
    """How torchrun started this process; None if it was started alone. LthError for variables that are no numbers."""

    if not all(name in os.environ for name in _VARIABLES):
        return None
    found = Launch(*map(_number, ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE')))
    return found if found.size > 1 else None


def rank_name(rank: int, size: int) -> str:
    """A rank of this machine in words, for messages that may be read on another one."""

    return f'Rank {rank} of {size} on {socket.gethostname()}'


def command_line(found: Launch | None) -> str:
    """The command that starts this one again."""

    arguments = sys.argv[1:]
    if found is None:
        return shlex.join(['lth', *arguments])
    nodes = ['--nnodes', str(found.size // found.local_size)] if found.size > found.local_size else []
    return shlex.join(['torchrun', *nodes, '--nproc-per-node', str(found.local_size), '-m', 'lth', *arguments])


def _number(name: str) -> int:
    try:
        return int(os.environ[name])
    except ValueError:
        raise LthError(f'The environment variable {name} is {quote(os.environ[name])}, not a number. Start the command '
                       'with torchrun, which sets it; or unset RANK and WORLD_SIZE to train in one process.') from None
