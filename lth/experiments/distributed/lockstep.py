"""What ranks that train one run do together, as the code that trains seeds sees it."""
import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from lth.pruning.tickets import Round
from lth.training.task import Checkpoints


class Lockstep(Protocol):
    """Lets all ranks train the same seeds from the same rounds, and stop at the same iterations."""

    def rounds(
            self, seeds: tuple[int, ...], past: Sequence[Round], source: Sequence[Round],
    ) -> AbstractContextManager[tuple[Sequence[Round], Sequence[Round]]]:
        """A block in which all ranks train these seeds, with the rounds from which they start on all ranks."""

    def checkpoints(self, own: Checkpoints) -> Checkpoints:
        """Checkpoints of this process, as all ranks use them."""

    def check(self, round_: Round) -> None:
        """LthError if a round is not the same on all ranks."""


class Alone:
    """The Lockstep of a process that is the only one."""

    @contextlib.contextmanager
    def rounds(
            self, _seeds: tuple[int, ...], past: Sequence[Round], source: Sequence[Round],
    ) -> Iterator[tuple[Sequence[Round], Sequence[Round]]]:
        """The same rounds."""

        yield past, source

    def checkpoints(self, own: Checkpoints) -> Checkpoints:
        """The same checkpoints."""

        return own

    def check(self, round_: Round) -> None:
        """Accept every round."""
