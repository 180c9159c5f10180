"""What happens to the weights of a layer after a prune (Zhou et al. 2019, sections 4 and 5).

A mask-1 action, (change) -> weights, says where kept weights start from. A mask-0 action, (change, weights) -> weights,
is then handed those, and says what pruned ones are frozen at. Both see the layer's survivors before the prune, (n,);
what was pruned earlier stays as it is. A new action is a function here with its name above it.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
from torch import Tensor

from lth import rng
from lth.registry.registry import Registry


@dataclass(frozen=True)
class LayerSurvivors:
    """The survivors of one layer: at the rewind point, as trained, and which of them are kept, (n,) each.

    `redrawn` draws them anew by the network's initializer, `std` is that of the layer as it was drawn first.
    """

    start: Tensor
    final: Tensor
    kept: Tensor
    reinitialized: Callable[[], Tensor]
    std: Callable[[], float]
    random: torch.Generator

    @property
    def toward_zero(self) -> Tensor:
        """Which weights are smaller than they were at the rewind point."""

        return self.final.abs() < self.start.abs()


Mask1Action = Callable[[LayerSurvivors], Tensor]
Mask0Action = Callable[[LayerSurvivors, Tensor], Tensor]


class MaskActions:
    """Both kinds of actions by name: `mask_1` for weights that are kept, `mask_0` for weights that are pruned."""

    def __init__(self) -> None:
        self.mask_1: Registry[Mask1Action] = Registry('mask-1 action')
        self.mask_0: Registry[Mask0Action] = Registry('mask-0 action')

    @overload
    def register(self, name: str, *aliases: str, mask: Literal[1]) -> Callable[[Mask1Action], Mask1Action]: ...

    @overload
    def register(self, name: str, *aliases: str, mask: Literal[0]) -> Callable[[Mask0Action], Mask0Action]: ...

    def register(self, name: str, *aliases: str, mask: Literal[0, 1]) -> Callable[[Any], Any]:
        """A decorator that registers an action for the weights where the mask is 1 (kept) or 0 (pruned)."""

        registry: Registry[Any] = self.mask_1 if mask else self.mask_0
        return registry.register(name, *aliases)


MASK_ACTIONS = MaskActions()


@MASK_ACTIONS.register('rewind', mask=1)
def rewind(change: LayerSurvivors) -> Tensor:
    """Back to the rewind point (Frankle & Carbin 2019)."""

    return change.start


@MASK_ACTIONS.register('reinitialize', 'reinitialise', 'reinit', mask=1)
def reinitialize(change: LayerSurvivors) -> Tensor:
    """Drawn anew by the network's initializer."""

    return change.reinitialized()


@MASK_ACTIONS.register('reinitialize-keeping-sign', 'reinitialise-keeping-sign', 'reinit-keeping-sign', mask=1)
def reinitialize_keeping_sign(change: LayerSurvivors) -> Tensor:
    """Drawn anew, with the sign of the rewind point."""

    return change.reinitialized().abs().copysign(change.start)


@MASK_ACTIONS.register('reshuffle', mask=1)
def reshuffle(change: LayerSurvivors) -> Tensor:
    """The kept weights of the rewind point, shuffled within the layer."""

    return _shuffle_selected(change.start, change.kept, change.random)


@MASK_ACTIONS.register('reshuffle-keeping-sign', mask=1)
def reshuffle_keeping_sign(change: LayerSurvivors) -> Tensor:
    """The kept weights of the rewind point, shuffled among those of the same sign."""

    negative = change.start.signbit()
    shuffled = _shuffle_selected(change.start, change.kept & negative, change.random)
    return _shuffle_selected(shuffled, change.kept & ~negative, change.random)


@MASK_ACTIONS.register('constant', mask=1)
def constant(change: LayerSurvivors) -> Tensor:
    """The standard deviation of the layer as it was drawn, with random signs."""

    signs = torch.randint(0, 2, change.start.shape, generator=change.random) * 2. - 1
    return change.std() * signs.to(change.start)


@MASK_ACTIONS.register('constant-keeping-sign', mask=1)
def constant_keeping_sign(change: LayerSurvivors) -> Tensor:
    """The standard deviation of the layer as it was drawn, with the sign of the rewind point."""

    return torch.full_like(change.start, change.std()).copysign(change.start)


@MASK_ACTIONS.register('zero', mask=0)
def zero(change: LayerSurvivors, weights: Tensor) -> Tensor:
    """To exactly 0, and frozen there."""

    return _freeze_pruned(change, weights, torch.ones_like(change.kept))


@MASK_ACTIONS.register('freeze', 'init', mask=0)
def freeze(change: LayerSurvivors, weights: Tensor) -> Tensor:
    """Frozen at the rewind point."""

    return _freeze_pruned(change, weights, torch.zeros_like(change.kept))


@MASK_ACTIONS.register('toward-zero', mask=0)
def toward_zero(change: LayerSurvivors, weights: Tensor) -> Tensor:
    """To 0 if training made it smaller, else frozen at the rewind point."""

    return _freeze_pruned(change, weights, change.toward_zero)


@MASK_ACTIONS.register('toward-zero-all', mask=0)
def toward_zero_all(change: LayerSurvivors, weights: Tensor) -> Tensor:
    """As toward-zero; and kept weights that training made smaller start from 0 too."""

    return toward_zero(change, weights).masked_fill(change.toward_zero, 0)


@MASK_ACTIONS.register('random-zero', mask=0)
def random_zero(change: LayerSurvivors, weights: Tensor) -> Tensor:
    """Control of toward-zero: as many of the pruned go to 0, whichever; the others are frozen at the rewind point."""

    return _freeze_pruned(change, weights, _shuffle_selected(change.toward_zero, ~change.kept, change.random))


@MASK_ACTIONS.register('away-from-zero', mask=0)
def away_from_zero(change: LayerSurvivors, weights: Tensor) -> Tensor:
    """Control of toward-zero, the reverse: to 0 unless training made it smaller, else frozen at the rewind point."""

    return _freeze_pruned(change, weights, ~change.toward_zero)


def _freeze_pruned(change: LayerSurvivors, weights: Tensor, zeroed: Tensor) -> Tensor:
    """Kept weights as given, pruned ones at 0 where `zeroed`, else at the rewind point."""

    return torch.where(change.kept, weights, change.start.masked_fill(zeroed, 0))


def _shuffle_selected(values: Tensor, chosen: Tensor, random: torch.Generator) -> Tensor:
    """The values with the chosen ones shuffled among themselves: (n,), (n,) -> (n,)."""

    return values.masked_scatter(chosen, rng.shuffle(values[chosen], random))
