"""Random masks: the baseline that chooses only how many weights each layer keeps."""
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from lth.algorithms.at_init import base
from lth.algorithms.base import ALGORITHMS
from lth.models.flat_parameters import Layout
from lth.pruning.layer_collapse import kept_count
from lth.pruning.layer_densities import LAYER_COUNTS
from lth.pruning.tickets import Ticket
from lth.recipes.registered_names import RegisteredName
from lth.recipes.schema import TrainingSettings
from lth.training.task import Task


class Settings(base.AtInitSettings):
    """`layers` is the method that distributes the kept weights over the layers."""

    uses_data: ClassVar[bool] = False

    name: Literal['random']
    layers: Annotated[str, RegisteredName(LAYER_COUNTS)] = Field(
        'uniform', description='How the kept weights are distributed over the layers.')

    def layer_counts(self, layout: Layout) -> tuple[int, ...]:
        """Number of weights that each layer keeps, ⌊density · P⌋ in total."""

        return LAYER_COUNTS.find(self.layers)(layout.prunable_slots, kept_count(layout, self.density))

    def kept_counts(self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return [sum(self.layer_counts(layout))]

    def kept_per_layer(
            self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> Sequence[Sequence[int]]:
        return [self.layer_counts(layout)]


@ALGORITHMS.register('random', settings=Settings)
@base.mask_at_init
def random(task: Task, settings: Settings, _start: Ticket) -> Tensor:
    """Keep random weights, distributed over the layers uniformly, by ERK or in equal numbers."""

    return base.random_mask(task, settings.layer_counts(task.network.layout))
