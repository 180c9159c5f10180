"""Mask actions of Zhou et al. 2019 (sections 4 and 5): the values of a layer's weights after pruning.

A mask-1 action, (layer) -> weights, sets the values from which kept weights are trained. A mask-0 action,
(layer, weights) -> weights, then receives those, and sets the values at which pruned weights are frozen. Both see the
weights of the layer that remained before this pruning, (n,); weights that were pruned earlier do not change. To add an
action, write a function here with `@MASK_ACTIONS.register(name, mask=1)` or `mask=0` above it.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from lth.registry.registry import Registry
from lth.registry.tensor_results import guarded
from lth.system import lazy_import

# Named by annotations, and used only when values are computed: lists of names do not wait for torch.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lth import rng
else:
    torch = lazy_import.module('torch')
    rng = lazy_import.module('lth.rng')


@dataclass(frozen=True)
class LayerSurvivors:
    """The weights of one layer that remained before this pruning: at the rewind point, after training, and which of
    them are kept, (n,) each.

    `reinitialized()` are new values from the network's initializer, `std()` is the standard deviation of the layer's
    initial weights.
    """

    start: Tensor
    final: Tensor
    kept: Tensor
    reinitialized: Callable[[], Tensor]
    std: Callable[[], float]
    random: torch.Generator

    @property
    def toward_zero(self) -> Tensor:
        """Which weights have a smaller magnitude than at the rewind point."""

        return self.final.abs() < self.start.abs()


Mask1Action: TypeAlias = Callable[[LayerSurvivors], 'Tensor']
Mask0Action: TypeAlias = Callable[[LayerSurvivors, 'Tensor'], 'Tensor']
Action = TypeVar('Action', Mask1Action, Mask0Action)


class MaskActions:
    """Both kinds of actions by name: `mask_1` for weights that are kept, `mask_0` for weights that are pruned."""

    def __init__(self) -> None:
        self.mask_1: Registry[Mask1Action] = Registry('mask-1 action')
        self.mask_0: Registry[Mask0Action] = Registry('mask-0 action')

    def register(self, name: str, *aliases: str, mask: Literal[0, 1]) -> Callable[[Action], Action]:
        """A decorator that registers an action for the weights where the mask is 1 (kept) or 0 (pruned)."""

        registry: Registry[Any] = self.mask_1 if mask else self.mask_0
        return registry.register(name, *aliases)


MASK_ACTIONS: MaskActions = MaskActions()


@MASK_ACTIONS.register('rewind', mask=1)
def rewind(layer: LayerSurvivors) -> Tensor:
    """The values of the rewind point (Frankle & Carbin 2019)."""

    return layer.start


@MASK_ACTIONS.register('reinitialize', 'reinitialise', 'reinit', mask=1)
def reinitialize(layer: LayerSurvivors) -> Tensor:
    """New values from the network's initializer."""

    return layer.reinitialized()


@MASK_ACTIONS.register('reinitialize-keeping-sign', 'reinitialise-keeping-sign', 'reinit-keeping-sign', mask=1)
def reinitialize_keeping_sign(layer: LayerSurvivors) -> Tensor:
    """New values from the network's initializer, with the signs of the rewind point."""

    return layer.reinitialized().abs().copysign(layer.start)


@MASK_ACTIONS.register('reshuffle', mask=1)
def reshuffle(layer: LayerSurvivors) -> Tensor:
    """The kept weights of the rewind point, shuffled within the layer."""

    return _shuffle_selected(layer.start, layer.kept, layer.random)


@MASK_ACTIONS.register('reshuffle-keeping-sign', mask=1)
def reshuffle_keeping_sign(layer: LayerSurvivors) -> Tensor:
    """The kept weights of the rewind point, shuffled among those with the same sign."""

    negative = layer.start.signbit()
    shuffled = _shuffle_selected(layer.start, layer.kept & negative, layer.random)
    return _shuffle_selected(shuffled, layer.kept & ~negative, layer.random)


@MASK_ACTIONS.register('constant', mask=1)
def constant(layer: LayerSurvivors) -> Tensor:
    """The standard deviation of the layer's initial weights, with random signs."""

    signs = torch.randint(0, 2, layer.start.shape, generator=layer.random) * 2. - 1
    return layer.std() * signs.to(layer.start)


@MASK_ACTIONS.register('constant-keeping-sign', mask=1)
def constant_keeping_sign(layer: LayerSurvivors) -> Tensor:
    """The standard deviation of the layer's initial weights, with the signs of the rewind point."""

    return torch.full_like(layer.start, layer.std()).copysign(layer.start)


@MASK_ACTIONS.register('zero', mask=0)
def zero(layer: LayerSurvivors, weights: Tensor) -> Tensor:
    """Frozen at 0."""

    return _freeze_pruned(layer, weights, torch.ones_like(layer.kept))


@MASK_ACTIONS.register('freeze', 'init', mask=0)
def freeze(layer: LayerSurvivors, weights: Tensor) -> Tensor:
    """Frozen at the values of the rewind point."""

    return _freeze_pruned(layer, weights, torch.zeros_like(layer.kept))


@MASK_ACTIONS.register('toward-zero', mask=0)
def toward_zero(layer: LayerSurvivors, weights: Tensor) -> Tensor:
    """Frozen at 0 if training reduced the magnitude, otherwise at the value of the rewind point."""

    return _freeze_pruned(layer, weights, layer.toward_zero)


@MASK_ACTIONS.register('toward-zero-all', mask=0)
def toward_zero_all(layer: LayerSurvivors, weights: Tensor) -> Tensor:
    """As toward-zero; kept weights also start from 0 if training reduced their magnitude."""

    return toward_zero(layer, weights).masked_fill(layer.toward_zero, 0)


@MASK_ACTIONS.register('random-zero', mask=0)
def random_zero(layer: LayerSurvivors, weights: Tensor) -> Tensor:
    """Control of toward-zero: the same number of pruned weights is frozen at 0, but randomly selected."""

    return _freeze_pruned(layer, weights, _shuffle_selected(layer.toward_zero, ~layer.kept, layer.random))


@MASK_ACTIONS.register('away-from-zero', mask=0)
def away_from_zero(layer: LayerSurvivors, weights: Tensor) -> Tensor:
    """Control of toward-zero, inverted: frozen at 0 unless training reduced the magnitude."""

    return _freeze_pruned(layer, weights, ~layer.toward_zero)


def find_mask_1_action(name: str) -> Mask1Action:
    """The action for kept weights with this name; what a plug-in returns is checked."""

    action = MASK_ACTIONS.mask_1.find(name)
    if not MASK_ACTIONS.mask_1.is_foreign(name):
        return action
    return guarded(f'mask-1 action {name}', action, lambda layer: layer.start)


def find_mask_0_action(name: str) -> Mask0Action:
    """The action for pruned weights with this name; what a plug-in returns is checked."""

    action = MASK_ACTIONS.mask_0.find(name)
    if not MASK_ACTIONS.mask_0.is_foreign(name):
        return action
    return guarded(f'mask-0 action {name}', action, lambda layer, _weights: layer.start)


def _freeze_pruned(layer: LayerSurvivors, weights: Tensor, zeroed: Tensor) -> Tensor:
    """Kept weights as given, pruned weights at 0 where `zeroed`, otherwise at the rewind point."""

    return torch.where(layer.kept, weights, layer.start.masked_fill(zeroed, 0))


def _shuffle_selected(values: Tensor, selected: Tensor, random: torch.Generator) -> Tensor:
    """The values with the selected ones shuffled among themselves: (n,), (n,) -> (n,)."""

    return values.masked_scatter(selected, rng.shuffle(values[selected], random))
