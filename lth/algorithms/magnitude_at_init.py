"""Magnitude at initialisation: the baseline that ranks weights by nothing but their size as they were drawn."""
from typing import Literal

from torch import Tensor

from lth.algorithms import at_init
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(at_init.Ranked):
    """No settings of its own."""

    name: Literal['magnitude-at-init']


@at_init.chooses('magnitude-at-init', Settings)
def chosen(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """The weights that were drawn largest, of all layers together."""

    return at_init.ranked(task, settings, start.weights[:, :task.network.layout.prunable].abs())
