"""Magnitude at initialisation: the baseline that ranks weights by nothing but their size as they were drawn."""
from collections.abc import Iterator, Sequence
from typing import Literal

from lth.algorithms import at_init
from lth.algorithms.algorithm import algorithm
from lth.task import Task
from lth.tickets import Round, fresh


class Settings(at_init.Ranked):
    """No settings of its own."""

    name: Literal['magnitude-at-init']


@algorithm('magnitude-at-init', Settings, kept=at_init.kept, check=at_init.unchecked, trains='never', finds='gems')
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """The weights that were drawn largest, of all layers together."""

    if not past:
        start = fresh(task)
        scores = start.weights[:, :task.network.layout.prunable].abs()
        yield at_init.gem(task, settings, start, at_init.ranked(task, settings, scores))
