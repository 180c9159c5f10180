"""What happens to weights after a prune: (start, final) -> the weights from which the next round trains.

`start` is the rewind point, `final` the trained weights, both (R, P). Mask-1 actions are for kept weights, mask-0
actions for pruned ones (Zhou et al. 2019, sections 4 and 5). A new action is a function here with its name above it.
"""
from collections.abc import Callable

import torch
from torch import Tensor

from lth.registry import Registry

Action = Callable[[Tensor, Tensor], Tensor]
MASK_1_ACTIONS: Registry[Action] = Registry('mask-1 action')
MASK_0_ACTIONS: Registry[Action] = Registry('mask-0 action')


@MASK_1_ACTIONS.register('rewind')
def rewind(start: Tensor, _final: Tensor) -> Tensor:
    """Back to the rewind point (Frankle & Carbin 2019)."""

    return start


@MASK_0_ACTIONS.register('zero')
def zero(start: Tensor, _final: Tensor) -> Tensor:
    """To exactly 0, and frozen there."""

    return torch.zeros_like(start)
