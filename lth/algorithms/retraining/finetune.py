"""What was found, trained from its own weights under its mask, or a control of it: a run of one round for each seed."""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lth.algorithms.base import algorithm
from lth.models.flat_parameters import Layout
from lth.pruning.controls import CONTROLS, apply_control
from lth.pruning.tickets import Round, dense_ticket, train_ticket
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.task import Task


class Settings(AlgorithmSettings):
    """`source` is the folder of the run, from this run's own, `round` the one of its rounds whose ticket is trained,
    `kept` the number of weights that are trained, and `control` what is changed of the ticket before.
    """

    name: Literal['finetune']
    source: str
    round: int = Field(ge=0)
    kept: int = Field(ge=0)
    control: Annotated[str, AfterValidator(CONTROLS.canonical)] = 'original'


def _kept(_layout: Layout, settings: Settings, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
    return [settings.kept]


def _check(_settings: Settings, _training: TrainingSettings, _steps_per_epoch: int) -> None:
    """All that can be wrong is wrong with the source."""


@algorithm('finetune', Settings, kept=_kept, check=_check, finds='nothing new', needs_source=True)
def finetuned(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """A ticket or gem of another run, trained from its own weights under its mask.

    The past begins with that run's round 0 and the round that is meant.
    """

    first, source, *done = past
    if not done:
        origin = first.ticket if first.ticket.mask.all() else dense_ticket(task)
        changed = apply_control(settings.control, task, origin, source.ticket)
        # What is drawn anew trains as long as the original, too.
        ticket = replace(changed, iteration=source.ticket.iteration)
        yield Round(0, ticket, train_ticket(task, ticket))
