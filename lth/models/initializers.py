"""Initial weights of one convolution or dense layer: functions (slot, random) -> tensor of the slot's shape.

To add an initializer, write such a function and decorate it with `@INITIALIZERS.register(name)`.
"""
import math
from collections.abc import Callable

import torch
from torch import Tensor

from lth.models.flat_parameters import Slot
from lth.registry.registry import Registry
from lth.registry.tensor_results import guarded

Initializer = Callable[[Slot, torch.Generator], Tensor]
INITIALIZERS: Registry[Initializer] = Registry('initializer')


@INITIALIZERS.register('glorot-normal', 'xavier-normal')
def glorot_normal(slot: Slot, random: torch.Generator) -> Tensor:
    """Gaussian with std √(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""

    return torch.randn(slot.shape, generator=random) * _glorot_std(slot)


@INITIALIZERS.register('kaiming-normal', 'he-normal')
def kaiming_normal(slot: Slot, random: torch.Generator) -> Tensor:
    """Gaussian with std √(2 / fan_in) (He et al. 2015)."""

    return torch.randn(slot.shape, generator=random) * _kaiming_std(slot)


@INITIALIZERS.register('kaiming-uniform', 'he-uniform')
def kaiming_uniform(slot: Slot, random: torch.Generator) -> Tensor:
    """Uniform with std √(2 / fan_in), so within ±√(6 / fan_in) (He et al. 2015)."""

    bound = math.sqrt(3) * _kaiming_std(slot)
    return torch.empty(slot.shape).uniform_(-bound, bound, generator=random)


@INITIALIZERS.register('signed-constant')
def signed_constant(slot: Slot, random: torch.Generator) -> Tensor:
    """√(2 / fan_in) with a random sign (Ramanujan et al. 2020, section 3; Rare Gems)."""

    signs = torch.randint(0, 2, slot.shape, generator=random) * 2 - 1
    return signs * _kaiming_std(slot)


@INITIALIZERS.register('glorot-signed-constant', 'xavier-signed-constant')
def glorot_signed_constant(slot: Slot, random: torch.Generator) -> Tensor:
    """√(2 / (fan_in + fan_out)) with the signs of glorot-normal (Zhou et al. 2019, section 5)."""

    return torch.full(slot.shape, _glorot_std(slot)).copysign(glorot_normal(slot, random))


@INITIALIZERS.register('unsigned-constant')
def unsigned_constant(slot: Slot, _random: torch.Generator) -> Tensor:
    """The constant √(2 / fan_in) (Rare Gems)."""

    return torch.full(slot.shape, _kaiming_std(slot))


@INITIALIZERS.register('uniform')
def uniform(slot: Slot, random: torch.Generator) -> Tensor:
    """Uniform within ±1 in every layer, whatever its size; `model.initializer_gain` sets another range."""

    return torch.empty(slot.shape).uniform_(-1, 1, generator=random)


@INITIALIZERS.register('truncated-normal', 'trunc-normal')
def truncated_normal(slot: Slot, random: torch.Generator) -> Tensor:
    """Gaussian with std 0.02, within ±0.04 in every layer (usual for Vision Transformers)."""

    share = torch.rand(slot.shape, generator=random, dtype=torch.float64) * 2 - 1
    # The inverse of the distribution function, of a share of what lies within two standard deviations.
    quantile = torch.erfinv(share * math.erf(math.sqrt(2))) * math.sqrt(2)
    return (0.02 * quantile).float()


def find_initializer(name: str) -> Initializer:
    """The initializer with this name; what a plug-in returns is checked."""

    initializer = INITIALIZERS.find(name)
    if not INITIALIZERS.is_foreign(name):
        return initializer
    return guarded(f'initializer {name}', initializer, lambda slot, _random: torch.empty(slot.shape))


def _fans(slot: Slot) -> tuple[int, int]:
    """fan_in and fan_out, as torch.nn.init counts them."""

    outputs, inputs, *kernel = slot.shape
    kernel_size = math.prod(kernel)
    return inputs * kernel_size, outputs * kernel_size


def _glorot_std(slot: Slot) -> float:
    return math.sqrt(2 / sum(_fans(slot)))


def _kaiming_std(slot: Slot) -> float:
    return math.sqrt(2 / _fans(slot)[0])
