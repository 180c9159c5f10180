"""Smart ratio (Su et al. 2020, "Sanity-checking pruning methods: random tickets can win the jackpot").

Random masks that depend neither on weights nor on data; deeper layers are sparser.
"""
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from lth.algorithms.at_init.base import mask_at_init
from lth.algorithms.at_init.random_masks import RandomMaskSettings, random_mask
from lth.algorithms.base import ALGORITHMS
from lth.models.flat_parameters import Layout
from lth.pruning.layer_densities import published_smart_ratio
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(RandomMaskSettings):
    """`classifier` is the density of the last layer. The densities of the other layers are also divided by l^decay, l
    being the layer's number; the paper uses 2 for VGG. Each layer's count is rounded down, so that slightly fewer than
    density · P weights are kept.
    """

    name: Literal['smart-ratio']
    classifier: Annotated[float, Field(gt=0, le=1)] = Field(0.3, description='Density of the last layer.')
    decay: int = Field(
        0, ge=0, le=9,
        description="Densities of the other layers are also divided by this power of the layer's number.")

    def layer_counts(self, layout: Layout) -> tuple[int, ...]:
        """Number of weights that each layer keeps."""

        return published_smart_ratio(
            layout.prunable_slots, self.density, classifier=self.classifier, decay=self.decay)


@ALGORITHMS.register('smart-ratio', settings=Settings)
@mask_at_init
def smart_ratio(task: Task, settings: Settings, _start: Ticket) -> Tensor:
    """Keep random weights; deeper layers are sparser, the classifier's density is fixed (Su et al. 2020)."""

    return random_mask(task, settings)
