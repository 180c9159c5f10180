"""How the ranks of a command meet and part: all have to run the same command with the same versions."""
import contextlib
import shlex
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from lth import __version__
from lth.errors import ENVIRONMENT_ERROR, LthError, quote
from lth.experiments.distributed.follower import Follower
from lth.experiments.distributed.messages import End
from lth.system import signals
from lth.system.launch import Launch, rank_name
from lth.training.engines.distributed import ranks as all_ranks
from lth.training.engines.distributed.message_board import MessageBoard
from lth.training.engines.distributed.ranks import Ranks

_SECONDS_TO_START = 300.
_END = 'end'
# How long a rank that fails waits until rank 0 has reported its error, and one that lost another waits for an end.
_SECONDS_TO_REPORT, _SECONDS_TO_END = 10., 2.


class Facts(NamedTuple):
    """What has to be the same on all ranks, and the host of one."""

    command: str
    versions: str
    host: str

    @staticmethod
    def own() -> 'Facts':
        """The facts of this process."""

        return Facts(
            shlex.join(sys.argv[1:]), f'lth {__version__} and torch {torch.__version__}', socket.gethostname())


_boards: list[MessageBoard] = []


def join(launch: Launch) -> None:
    """Connect rank 0 with all others. LthError if one does not start, or runs another command or other versions."""

    board, own = _board(launch), Facts.own()
    for rank in range(1, launch.size):
        _refuse_other_facts(rank, launch.size, own, board.read(f'facts/{rank}', seconds=_SECONDS_TO_START))
    board.publish('join')
    all_ranks.set_current(Ranks(launch.rank, launch.size, board, local_rank=launch.local_rank))


def follow(launch: Launch, report: Callable[[str], object]) -> int:
    """Work as a rank other than 0 until the command ends. Returns the exit code. An error that rank 0 does not report
    is passed to `report`.
    """

    board = _board(launch)
    board.write(f'facts/{launch.rank}', Facts.own())
    code: int = first.exit_code if isinstance(first := board.next(), End) else _follow(launch, board, report)
    with contextlib.suppress(LthError):
        board.write(f'left/{launch.rank}', True)
    return code


def end(launch: Launch, exit_code: int) -> None:
    """Let the other ranks end too, with this exit code of rank 0."""

    with contextlib.suppress(LthError):
        board = _board(launch)
        board.publish(End(exit_code))
        board.write(_END, exit_code)
        # Without torchrun, the messages are kept by this process.
        deadline = time.monotonic() + _SECONDS_TO_END
        for rank in range(1, launch.size):
            board.read(f'left/{rank}', seconds=max(0., deadline - time.monotonic()))


def _follow(launch: Launch, board: MessageBoard, report: Callable[[str], object]) -> int:
    """Train with the other ranks until the command ends, and return the exit code."""

    ranks = Ranks(launch.rank, launch.size, board, local_rank=launch.local_rank)
    all_ranks.set_current(ranks)
    try:
        return Follower(ranks).follow()
    except LthError as error:
        with signals.deferred():  # torchrun ends all processes when one has ended
            _report_unreported(ranks, error, report)
        return error.exit_code
    except signals.Interrupted as interrupt:
        return 128 + interrupt.number


def _report_unreported(ranks: Ranks, error: LthError, report: Callable[[str], object]) -> None:
    """Report an error that ends this rank, unless another rank does."""

    if ranks.lost:
        ended = ranks.board.read(_END, seconds=_SECONDS_TO_END) is not None or ranks.failure()
        if not ended and ranks.board.is_first('lost'):
            report(str(error))
        return
    ranks.publish_failure(error)
    ranks.disconnect()
    if ranks.board.read(_END, seconds=_SECONDS_TO_REPORT) is None:
        report(f'{ranks.name}: {error}')


def _board(launch: Launch) -> MessageBoard:
    """The connection of this process to the others."""

    if not _boards:
        _boards.append(MessageBoard.connect(launch))
    return _boards[0]


def _refuse_other_facts(rank: int, size: int, own: Facts, other: Facts | None) -> None:
    if other is None:
        raise LthError(f'Rank {rank} of {size} did not start within {_SECONDS_TO_START / 60:.0f} minutes. Start '
                       'torchrun on all machines at about the same time.', exit_code=ENVIRONMENT_ERROR)
    name = f'Rank {rank} of {size} on {other.host}'
    if other.versions != own.versions:
        raise LthError(f'{name} runs {other.versions}, and {rank_name(0, size)} runs {own.versions}. Install the same '
                       'versions on all machines.')
    if other.command != own.command:
        raise LthError(f'{name} was started with other arguments ({quote(other.command)}) than rank 0 '
                       f'({quote(own.command)}). Start the same command on all machines.')
