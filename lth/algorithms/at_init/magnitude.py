"""Magnitude at initialization: the baseline that ranks weights by the absolute value of their initial values."""
from typing import ClassVar, Literal

from torch import Tensor

from lth.algorithms.at_init import base
from lth.algorithms.base import ALGORITHMS
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(base.ScoreSettings):
    """No additional settings."""

    uses_data: ClassVar[bool] = False
    gem_alias: ClassVar[str] = 'magnitude'

    name: Literal['magnitude-at-init']


@ALGORITHMS.register('magnitude-at-init', settings=Settings)
@base.mask_at_init
def magnitude(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """Keep the largest initial weights of the whole network."""

    return base.top_mask(task, settings, start.weights[:, :task.network.layout.prunable_count].abs())
