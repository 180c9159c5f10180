"""What tickets are compared with: at every level of a search, the ticket changed by a control (`controls.py`).

Such a run is one of its own beside the search; its round 0 is the search's dense network, its round n stands beside the
ticket of round n.
"""
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lth.algorithms.base import algorithm
from lth.models.flat_parameters import Layout
from lth.pruning.controls import CONTROLS, apply_control
from lth.pruning.tickets import Round, train_ticket
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.task import Task


class Settings(AlgorithmSettings):
    """`source` is the folder of the search, from this run's own; `kept` counts the weights left in each round. Of
    several runs of one control each has its `draw`.
    """

    name: Literal['control']
    control: Annotated[str, AfterValidator(CONTROLS.canonical)]
    source: str
    kept: Annotated[tuple[int, ...], Field(strict=False, min_length=2)]
    draw: int = Field(1, ge=1)


def _kept(layout: Layout, settings: Settings, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
    if spread := CONTROLS.find(settings.control).spread:
        for count in settings.kept[1:]:
            spread(layout.prunable_slots, count)  # refuses what cannot be
    return list(settings.kept)


def _check(_settings: Settings, _training: TrainingSettings, _steps_per_epoch: int) -> None:
    """All else that can be wrong is wrong with the source."""


@algorithm('control', Settings, kept=_kept, check=_check, finds='nothing new', needs_source=True)
def controls(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """A control of the tickets of another run, at every level; the past begins with the rounds of that run."""

    levels, dense = len(settings.kept), past[0]
    for number in range(len(past) - levels, levels):
        if number == 0:
            yield dense
            continue
        # The first is what was drawn when there was but one.
        draw = (number,) if settings.draw == 1 else (number, settings.draw)
        ticket = apply_control(settings.control, task, dense.ticket, past[number].ticket, draw)
        yield Round(number, ticket, train_ticket(task, ticket))
