"""What is left of a round whose weights are not there: a trained state that the option --keep removed has only its
measurements, a ticket of an imported run only its mask.
"""
from typing import NoReturn

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Buffers
from lth.pruning.tickets import Ticket
from lth.training.state import Measurement, State


class RemovedState(State):
    """A state with its iteration and history. Reading its weights or buffers is the LthError `error`, which names the
    option. So a command that needs only the ticket of the round works.
    """

    error: LthError

    def __init__(  # pylint: disable=super-init-not-called # which would set weights and buffers
            self, error: LthError, history: tuple[Measurement, ...], engine: str) -> None:
        values = {'error': error, 'step': history[-1].iteration, 'optimizer': {}, 'history': history, 'engine': engine}
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the class is frozen

    @property
    def weights(self) -> Tensor:  # type: ignore[override] # a field of State
        """LthError: the weights were removed."""

        self._refuse()

    @property
    def buffers(self) -> Buffers:  # type: ignore[override] # a field of State
        """LthError: the buffers were removed."""

        self._refuse()

    def to(self, _device: torch.device) -> 'RemovedState':
        """The same state."""

        return self

    def _refuse(self) -> NoReturn:
        raise self.error


class UnknownTicket(Ticket):
    """A ticket with its mask and iteration. Reading its weights or buffers is the LthError `error`. So an imported
    round can be measured although nobody knows the weights from which it was trained.
    """

    error: LthError

    def __init__(  # pylint: disable=super-init-not-called # which would set weights and buffers
            self, error: LthError, mask: Tensor, iteration: int) -> None:
        for name, value in {'error': error, 'mask': mask, 'iteration': iteration}.items():
            object.__setattr__(self, name, value)  # the class is frozen

    @property
    def weights(self) -> Tensor:  # type: ignore[override] # a field of Ticket
        """LthError: the weights are unknown."""

        self._refuse()

    @property
    def buffers(self) -> Buffers:  # type: ignore[override] # a field of Ticket
        """LthError: the buffers are unknown."""

        self._refuse()

    def to(self, device: torch.device) -> 'UnknownTicket':
        """The ticket with its mask on the device."""

        return UnknownTicket(self.error, self.mask.to(device), self.iteration)

    def _refuse(self) -> NoReturn:
        raise self.error
