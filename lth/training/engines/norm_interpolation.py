"""AWS: in each training step, normalization layers use random scales and shifts between the initial and trained ones.

The network then does not depend on the trained values, so its mask and signs alone can be transferred to another
initialization (Oh et al. 2025, "Find a winning sign", section 4). Each layer uses γ' = α + (1 − α) γ and β' = (1 − α) β
with its own α ~ U(0, 1), which is a function of the seed, the step and the layer; evaluation uses γ and β. For example,
γ = 3 and β = 2 are γ' = 2 and β' = 1 at α = 0.5.
"""
from collections.abc import Mapping

import torch
from torch import Tensor

from lth import rng
from lth.training.task import Task


class NormInterpolation:
    """The α of every normalization layer with a scale, `shares` (R, L), redrawn in place for each step. A layer that is
    called several times in a step has one α.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._layers = task, task.network.scales
        self.shares = torch.zeros(len(task.seeds), len(self._layers), device=task.engine.device)

    @staticmethod
    def of(task: Task) -> 'NormInterpolation | None':
        """The interpolation of a task, None if its training has none."""

        return NormInterpolation(task) if task.training.aws else None

    def draw(self, step: int) -> None:
        """Draw the numbers of a step."""

        rows = [torch.rand(len(self._layers), generator=rng.generator(seed, 'aws', step)) for seed in self._task.seeds]
        self.shares.copy_(torch.stack(rows))

    def apply(self, parameters: Mapping[str, Tensor], shares: Tensor) -> dict[str, Tensor]:
        """The scales and shifts to use instead of those in the parameters, for the shares (L,) of a replicate.
        Gradients flow to the parameters.
        """

        used = dict[str, Tensor]()
        for (scale, shift), share in zip(self._layers, shares, strict=True):
            used[scale] = share + (1 - share) * parameters[scale]
            if shift is not None:
                used[shift] = (1 - share) * parameters[shift]
        return used
