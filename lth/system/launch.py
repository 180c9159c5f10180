"""How this process was started: alone, or by torchrun as one of several ranks, which train one network together."""
import os
import re
import shlex
import socket
import sys
from collections.abc import Sequence
from typing import NamedTuple

from lth.errors import LthError, excerpt

# torchrun sets all of these, and MASTER_ADDR. Some clusters set one or two of them for other purposes.
_ADDRESS = 'MASTER_ADDR'
_NUMBERS = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE', 'MASTER_PORT')


class Launch(NamedTuple):
    """The number of this process among `size` ranks, and its number among the `local_size` ranks of this machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def launch() -> Launch | None:
    """How torchrun started this process; None if it was started alone."""

    if not os.environ.get(_ADDRESS) or not all(re.fullmatch('[0-9]{1,9}', os.environ.get(name, ''))
                                               for name in _NUMBERS):
        return None
    found = Launch(*(int(os.environ[name]) for name in _NUMBERS[:4]))
    is_one = found.rank < found.size and found.local_rank < found.local_size <= found.size
    return found if is_one and found.size > 1 else None


def refuse_other_variables() -> None:
    """LthError if all variables of torchrun are set, but not to the numbers of one process among several: each process
    would train alone, and write the same files.
    """

    names = (*_NUMBERS, _ADDRESS)
    if all(name in os.environ for name in names) and os.environ['WORLD_SIZE'] != '1' and launch() is None:
        values = ' '.join(f'{name}={os.environ[name]}' for name in names)
        raise LthError(f'The variables with which torchrun numbers its processes do not fit together: '
                       f'{excerpt(values)}. Start the command with torchrun, or without these variables.')


def rank_name(rank: int, size: int) -> str:
    """A rank of this machine in words, for messages that may be read on another one."""

    return f'Rank {rank} of {size} on {socket.gethostname()}'


def command_line() -> str:
    """The command that starts this one again."""

    found, arguments = launch(), sys.argv[1:]
    if found is None:
        return shlex.join(['lth', *arguments])
    nodes = ['--nnodes', str(found.size // found.local_size)] if found.size > found.local_size else []
    return shlex.join([*torchrun(found.local_size, nodes), 'lth', *arguments])


def torchrun(ranks: int, options: Sequence[str] = ()) -> list[str]:
    """The words before a command that start so many ranks of it on a machine."""

    # Without --, torchrun takes options such as --run for abbreviations of its own.
    return ['torchrun', *options, '--nproc-per-node', str(ranks), '-m', '--']
