"""Messages between ranks outside of training: values under names, in the store that torchrun keeps for its processes.

Unlike collectives they work before all ranks have met, after one has failed, and while others wait for hours.
"""
import contextlib
import os
import pickle
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from torch.distributed.distributed_c10d import PrefixStore, Store  # type: ignore[attr-defined] # not declared there
from torch.distributed.rendezvous import rendezvous

from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt
from lth.system.launch import Launch, rank_name

_SECONDS_TO_CONNECT = 300
_SECONDS_BETWEEN_LOOKS = 0.05


class MessageBoard:
    """The values that the ranks of one command have written. `number` counts the messages to all ranks."""

    def __init__(self, store: Store) -> None:
        self._store = PrefixStore('lth', store)
        self.number = 0

    @staticmethod
    def connect(launch: Launch) -> 'MessageBoard':
        """The board of the command that torchrun started. LthError if torchrun does not answer."""

        try:
            socket.getaddrinfo(os.environ['MASTER_ADDR'], None)  # without it, torch tries until its time limit
            store, _, _ = next(iter(rendezvous(
                'env://', launch.rank, launch.size, timeout=timedelta(seconds=_SECONDS_TO_CONNECT))))
        except (OSError, RuntimeError, ValueError) as error:
            raise LthError(f'{rank_name(launch.rank, launch.size)} cannot connect to torchrun ({excerpt(error)}). See '
                           'that this machine reaches $MASTER_ADDR at the port $MASTER_PORT.',
                           exit_code=ENVIRONMENT_ERROR) from None
        return MessageBoard(store)

    @property
    def store(self) -> Store:
        """A part of the store for process groups."""

        return PrefixStore('groups', self._store)

    def write(self, name: str, value: object) -> None:
        """Write a value, which replaces an earlier one of this name."""

        with _explained():
            self._store.set(name, pickle.dumps(value))  # type: ignore[arg-type] # its stub lacks bytes

    def read(self, name: str, *, seconds: float | None = None) -> Any:
        """Wait for the value of this name: for ever, or for this time, after which it is None."""

        start = time.monotonic()
        while not self.has(name):
            if seconds is not None and time.monotonic() - start > seconds:
                return None
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        with _explained():
            return pickle.loads(self._store.get(name))

    def has(self, *names: str) -> bool:
        """Whether values of all these names were written."""

        with _explained():
            return bool(self._store.check(list(names)))

    def publish(self, message: object) -> None:
        """Let all other ranks read a message; to be called by rank 0."""

        self.write(f'message/{self.number}', message)
        self.number += 1

    def next(self) -> Any:
        """The next message of rank 0, as soon as it is there."""

        message = self.read(f'message/{self.number}')
        self.number += 1
        return message

    def is_first(self, name: str) -> bool:
        """Whether no rank has called this with the name before."""

        with _explained():
            return int(self._store.add(name, 1)) == 1


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LthError(f'The connection to torchrun was lost ({excerpt(error)}): it was stopped, or its machine cannot '
                       'be reached. Completed rounds and checkpoints are saved: start the same command again.',
                       exit_code=ENVIRONMENT_ERROR) from None
