"""Magnitude at initialisation: the baseline that ranks weights by nothing but their size as they were drawn."""
from typing import Literal

from torch import Tensor

from lth.algorithms.at_init import base
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(base.Ranked):
    """No settings of its own."""

    name: Literal['magnitude-at-init']


@base.chooses('magnitude-at-init', Settings)
def chosen(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """The weights that were drawn largest, of all layers together."""

    return base.ranked(task, settings, start.weights[:, :task.network.layout.prunable_count].abs())
