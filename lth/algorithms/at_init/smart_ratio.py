"""Smart ratio (Su et al. 2020, "Sanity-checking pruning methods: random tickets can win the jackpot").

Random masks that look at no weight and no picture, whose layers get sparser with depth.
"""
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from lth.algorithms.at_init import base
from lth.models.flat_parameters import Layout
from lth.pruning.layer_densities import published_smart_ratio
from lth.pruning.tickets import Ticket
from lth.recipes.schema import TrainingSettings
from lth.training.task import Task


class Settings(base.Sparse):
    """`classifier` is the density of the last layer; in the others it also falls as 1 / l^decay, for VGG with 2. Counts
    are rounded down in each layer, so a few weights fewer than density · P are kept.
    """

    name: Literal['smart-ratio']
    classifier: Annotated[float, Field(gt=0, le=1)] = 0.3
    decay: int = Field(0, ge=0, le=9)


def layer_counts(layout: Layout, settings: Settings) -> tuple[int, ...]:
    """How many weights each layer keeps."""

    return published_smart_ratio(
        layout.prunable_slots, settings.density, classifier=settings.classifier, decay=settings.decay)


def _kept(layout: Layout, settings: Settings, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
    return [sum(layer_counts(layout, settings))]


@base.chooses('smart-ratio', Settings, counts=_kept)
def chosen(task: Task, settings: Settings, _start: Ticket) -> Tensor:
    """Weights at random, sparser with depth, the classifier's density fixed (Su et al. 2020)."""

    return base.spread(task, layer_counts(task.network.layout, settings))
