"""Finetuning: a ticket or gem of another run, or a control of it, trained from its own weights under its mask."""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lth.algorithms.base import ALGORITHMS
from lth.models.flat_parameters import Layout
from lth.pruning.changed_tickets import apply_control
from lth.pruning.controls import CONTROLS
from lth.pruning.tickets import Round, dense_ticket, train_ticket
from lth.recipes.source_settings import SourceWeights
from lth.recipes.registered_names import RegisteredName
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.registry.registry import BaseRegistry
from lth.system.yaml_text import Raw
from lth.training.task import Task


class Settings(AlgorithmSettings):
    """`source` is the folder of the source run, relative to the folder of this run, `round` its round whose ticket is
    trained, `kept` the number of weights that are trained, and `control` a change of the ticket before training.
    """

    finds: ClassVar[Literal['nothing new']] = 'nothing new'
    needs_source: ClassVar[bool] = True
    fits_output_layer: ClassVar[bool] = True

    name: Literal['finetune']
    source: str = Field(description='Folder of the source run, relative to the folder of this run.')
    round: int = Field(ge=0, description='Round of the source whose ticket is trained.')
    kept: int = Field(ge=0, description='Number of weights that are trained.')
    control: Annotated[str, RegisteredName(CONTROLS)] = Field(
        'original', description='Change of the ticket before training: a name of `lth list controls`.')

    def entries(self) -> Sequence[tuple[BaseRegistry[Any], str]]:
        return ((CONTROLS, self.control),)

    @property
    def keeps_masks(self) -> bool:
        return self.control == 'original'

    def kept_counts(self, _layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return [self.kept]

    def source_rounds(self) -> Sequence[int]:
        return 0, self.round

    def source_round(self, _number: int) -> int:
        return self.round

    def source_weights(self, _number: int) -> SourceWeights:
        if CONTROLS.find(self.control).reads_training:
            return ((self.round, 'trained'),)
        # Most controls draw other weights, so they can be trained for imported masks without weights.
        return ((self.round, 'ticket'),) if self.control == 'original' else ()


@ALGORITHMS.register('finetune', settings=Settings)
def finetune(
        task: Task, settings: Settings, past: Sequence[Round], *, source: Sequence[Round]) -> Iterator[Round]:
    """Train a ticket or gem of another run from its own weights under its mask."""

    if past:
        return
    first, last = source
    origin = first.ticket if first.ticket.mask.all() else dense_ticket(task)
    ticket = apply_control(settings.control, task, origin, last.ticket, trained=last.trained)
    # Re-initialized weights too are trained as long as the original ticket.
    ticket = replace(ticket, iteration=last.ticket.iteration)
    yield Round(0, ticket, train_ticket(task, ticket))


def is_finetuning(settings: Raw, number: int) -> bool:
    """Whether an algorithm's settings, as in a recipe file, finetune the unchanged ticket of this round."""

    expected: dict[str, Any] = {'name': 'finetune', 'round': number, 'control': 'original'}
    return {key: settings.get(key) for key in expected} == expected
