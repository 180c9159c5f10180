"""What was found, trained from its own weights under its mask: a run of one round for each seed."""
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from lth.algorithms.algorithm import algorithm
from lth.recipe import AlgorithmSettings, Training
from lth.task import Task
from lth.tickets import Round, finetune
from lth.vectors import Layout


class Settings(AlgorithmSettings):
    """`source` is the run folder, from the current folder, `round` the one of its rounds whose ticket is trained, and
    `kept` the number of weights that the ticket keeps.
    """

    name: Literal['finetune']
    source: str
    round: int = Field(ge=0)
    kept: int = Field(ge=0)


def _kept(_layout: Layout, settings: Settings, _training: Training, _steps_per_epoch: int) -> list[int]:
    return [settings.kept]


def _check(_settings: Settings, _training: Training, _steps_per_epoch: int) -> None:
    """All that can be wrong is wrong with the source."""


@algorithm('finetune', Settings, kept=_kept, check=_check, finds='nothing new', sourced=True)
def finetuned(task: Task, _settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """A ticket or gem of another run, trained from its own weights under its mask; the past begins with its round."""

    source, *done = past
    if not done:
        yield Round(0, source.ticket, finetune(task, source.ticket))
