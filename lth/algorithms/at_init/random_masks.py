"""Random masks at initialization: an algorithm decides only how many weights each layer keeps."""
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from lth.algorithms.at_init.base import AtInitSettings
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.recipes.schema import TrainingSettings
from lth.training.task import Task


class RandomMaskSettings(AtInitSettings):
    """Settings from which the number of weights of each layer follows."""

    uses_data: ClassVar[bool] = False

    def layer_counts(self, _layout: Layout) -> tuple[int, ...]:
        """Number of weights that each prunable layer keeps."""

        raise NotImplementedError(f'{type(self)} must define layer_counts')

    def kept_counts(self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        """The sum of the counts of the layers, for the only round."""

        return [sum(self.layer_counts(layout))]

    def kept_per_layer(
            self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> Sequence[Sequence[int]]:
        return [self.layer_counts(layout)]


def random_mask(task: Task, settings: RandomMaskSettings) -> Tensor:
    """A random mask of each seed that keeps the layer counts of the settings: (R, P)."""

    layout = task.network.layout
    sizes = [slot.size for slot in layout.prunable_slots]
    return masks.random_mask(sizes, settings.layer_counts(layout), seeds=task.seeds).to(task.engine.device)
