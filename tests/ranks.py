"""Two processes that are ranks of one command, forked from the tests, so that nothing is imported again."""
import multiprocessing
import pickle
import traceback
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import torch
from torch.distributed import FileStore

from lth.errors import LthError
from lth.training.engines.distributed import ranks
from lth.training.engines.distributed.message_board import MessageBoard
from lth.training.engines.distributed.ranks import Ranks

_SECONDS = 60


def on_ranks(
        function: Callable[..., Any], folder: Path, *arguments: Any, size: int = 2, missing: Set[int] = frozenset(),
) -> list[Any]:
    """Call a function with `Ranks` and these arguments on each of some ranks. Returns what they return, or their errors
    of class LthError. Those that are `missing` end without.
    """

    context = multiprocessing.get_context('fork')
    pipes = [context.Pipe(duplex=False) for _ in range(size)]
    processes = [context.Process(target=_run, args=(function, folder, arguments, rank, size, pipes[rank][1]))
                 for rank in range(size)]
    for process, (_, writer) in zip(processes, pipes, strict=True):
        process.start()
        writer.close()  # so that a rank that dies ends the wait for its answer
    try:
        results = [None if rank in missing else _result(pipes[rank][0]) for rank in range(size)]
    finally:
        for process in processes:
            process.join(1)
            process.kill()
    failed = [result for result in results if isinstance(result, str) and 'Traceback' in result]
    assert not failed, failed[0]
    return results


def _result(reader: Any) -> Any:
    assert reader.poll(_SECONDS), 'a rank does not answer'
    return pickle.loads(reader.recv_bytes())


def _run(function: Callable[..., Any], folder: Path, arguments: Any, rank: int, size: int, pipe: Any) -> None:
    torch.set_num_threads(1)
    try:
        joined = Ranks(rank, size, MessageBoard(FileStore(str(folder / 'store'), size)))
        joined.prepare(torch.device('cpu'))
        ranks.set_current(joined)
        result = function(joined, *arguments)
    except LthError as error:
        result = error
    except Exception:  # pylint: disable=broad-exception-caught # the parent fails with it
        result = traceback.format_exc()
    pipe.send_bytes(pickle.dumps(result))
