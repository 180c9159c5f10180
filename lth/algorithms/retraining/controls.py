"""Controls: the tickets of a search, each changed by a control (see lth/pruning/controls.py) and trained.

The result is a run in a folder next to the search. Its round 0 is the search's dense network, its round n the control
of the ticket of round n.
"""
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lth.algorithms.base import ALGORITHMS
from lth.algorithms.soup_settings import Copies, SoupChoice
from lth.models.flat_parameters import Layout
from lth.pruning.changed_tickets import apply_control
from lth.pruning.controls import CONTROLS
from lth.pruning.joint_training import train_tickets
from lth.pruning.soups import train_round
from lth.pruning.tickets import Round, Ticket
from lth.recipes.source_settings import SourceWeights
from lth.recipes.registered_names import RegisteredName
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.registry.registry import BaseRegistry
from lth.training.task import Task


class Settings(AlgorithmSettings):
    """`source` is the folder of the search, relative to the folder of this run; `kept` are the numbers of weights in
    its rounds. Runs with different `draw` sample the same control again. `copies` and `soup` are those of the search,
    so that controls are trained as its tickets are.
    """

    finds: ClassVar[Literal['nothing new']] = 'nothing new'
    needs_source: ClassVar[bool] = True
    copies_dense_round: ClassVar[bool] = True
    ladder: ClassVar[str] = 'kept'

    name: Literal['control']
    control: Annotated[str, RegisteredName(CONTROLS)] = Field(description='A name of `lth list controls`.')
    source: str = Field(description='Folder of the source run, relative to the folder of this run.')
    kept: Annotated[tuple[int, ...], Field(strict=False, min_length=2)] = Field(
        description='Numbers of weights in the rounds of the source.')
    draw: int = Field(1, ge=1, description='Number of the draw of the control.')
    copies: Copies = 1
    soup: SoupChoice = 'uniform'

    @property
    def soup_sentence(self) -> str:
        return '' if self.copies == 1 else 'The soup is the trained network of its round.'

    def entries(self) -> Sequence[tuple[BaseRegistry[Any], str]]:
        return ((CONTROLS, self.control),)

    def kept_counts(self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        layer_counts = CONTROLS.find(self.control).layer_counts if CONTROLS.has(self.control) else None
        if layer_counts:
            for count in self.kept[1:]:
                layer_counts(layout.prunable_slots, count)
        return list(self.kept)

    def trained_steps(
            self, number: int, training: TrainingSettings, steps_per_epoch: int, *, start: int = 0) -> int:
        """Round 0 is the dense network of the search, which is not trained again."""

        return self.copies * (training.steps(steps_per_epoch) - start) if number else 0

    def source_rounds(self) -> Sequence[int]:
        return range(len(self.kept))

    def source_weights(self, number: int) -> SourceWeights:
        ticket = super().source_weights(number)
        reads_training = number > 0 and CONTROLS.find(self.control).reads_training
        return (*ticket, (number, 'trained')) if reads_training else ticket


@ALGORITHMS.register('control', settings=Settings)
def train_controls(
        task: Task, settings: Settings, past: Sequence[Round], *, source: Sequence[Round]) -> Iterator[Round]:
    """Train a control of each ticket of another run."""

    if not past:
        yield source[0]
    numbers = range(max(1, len(past)), len(settings.kept))
    tickets = (_control_ticket(task, settings, number, source) for number in numbers)
    if settings.copies > 1:
        for number, ticket in zip(numbers, tickets):
            yield train_round(task, ticket, number, copies=settings.copies, soup=settings.soup)
    else:
        for number, (ticket, trained) in zip(numbers, train_tickets((task, ticket) for ticket in tickets)):
            yield Round(number, ticket, trained)


def _control_ticket(task: Task, settings: Settings, number: int, source: Sequence[Round]) -> Ticket:
    # Draw 1 has the random numbers of the versions without draws.
    draw = (number,) if settings.draw == 1 else (number, settings.draw)
    round_ = source[number]
    return apply_control(settings.control, task, source[0].ticket, round_.ticket, draw, trained=round_.trained)
