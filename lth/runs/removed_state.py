"""The trained state of a round whose weights the option --keep removed: only its measurements are left."""
from typing import NoReturn

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Buffers
from lth.training.task import Measurement, State


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
        """Return the same state."""

        return self

    def _refuse(self) -> NoReturn:
        raise self.error
