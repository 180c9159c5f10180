"""Mask criteria of Zhou et al. 2019 (section 3): (initial, final) weights -> scores; the higher score is kept.

Each is elementwise on (R, P). A new criterion is a function here with its name above it.
"""
from collections.abc import Callable

from torch import Tensor

from lth.registry import Registry

Criterion = Callable[[Tensor, Tensor], Tensor]
CRITERIA: Registry[Criterion] = Registry('criterion')


@CRITERIA.register('magnitude', 'large_final')
def magnitude(_initial: Tensor, final: Tensor) -> Tensor:
    """|w_f|: the criterion of Frankle & Carbin 2019."""

    return final.abs()


@CRITERIA.register('small-final')
def small_final(_initial: Tensor, final: Tensor) -> Tensor:
    """-|w_f|: the control of magnitude."""

    return -final.abs()
