"""Random masks: the baseline that chooses how many weights each layer keeps, and nothing else."""
from typing import Annotated, Literal

from pydantic import AfterValidator
from torch import Tensor

from lth.algorithms.at_init import base
from lth.models.flat_parameters import Layout
from lth.pruning.layer_densities import LAYER_COUNTS
from lth.pruning.tickets import Ticket
from lth.recipes.schema import TrainingSettings
from lth.training.task import Task


class Settings(base.Sparse):
    """`layers` is how the weights that are kept are spread over the layers."""

    name: Literal['random']
    layers: Annotated[str, AfterValidator(LAYER_COUNTS.canonical)] = 'uniform'


def layer_counts(layout: Layout, settings: Settings) -> tuple[int, ...]:
    """How many weights each layer keeps, ⌊density · P⌋ in all."""

    return LAYER_COUNTS.find(settings.layers)(layout.prunable_slots, base.counted(layout, settings))


def _kept(layout: Layout, settings: Settings, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
    return [sum(layer_counts(layout, settings))]


@base.chooses('random', Settings, counts=_kept)
def chosen(task: Task, settings: Settings, _start: Ticket) -> Tensor:
    """Weights at random, spread over the layers uniformly, by ERK or in equal numbers."""

    return base.spread(task, layer_counts(task.network.layout, settings))
