"""Random masks: the baseline that chooses only how many weights each layer keeps."""
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from lth.algorithms.at_init.base import mask_at_init
from lth.algorithms.at_init.random_masks import RandomMaskSettings, random_mask
from lth.algorithms.base import ALGORITHMS
from lth.models.flat_parameters import Layout
from lth.pruning.layer_collapse import kept_count
from lth.pruning.layer_densities import LAYER_COUNTS
from lth.pruning.tickets import Ticket
from lth.recipes.registered_names import RegisteredName
from lth.training.task import Task


class Settings(RandomMaskSettings):
    """`layers` is the method that distributes the kept weights over the layers."""

    name: Literal['random']
    layers: Annotated[str, RegisteredName(LAYER_COUNTS)] = Field(
        'uniform', description='How the kept weights are distributed over the layers.')

    def layer_counts(self, layout: Layout) -> tuple[int, ...]:
        """Number of weights that each layer keeps, ⌊density · P⌋ in total."""

        return LAYER_COUNTS.find(self.layers)(layout.prunable_slots, kept_count(layout, self.density))


@ALGORITHMS.register('random', settings=Settings)
@mask_at_init
def random(task: Task, settings: Settings, _start: Ticket) -> Tensor:
    """Keep random weights, distributed over the layers uniformly, by ERK or in equal numbers."""

    return random_mask(task, settings)
