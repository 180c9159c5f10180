"""Hutchinson-Taylor sensitivity ("What scalable second-order information knows for pruning at initialization", arXiv
2502.11450).

The score is the size of the change of the loss if the weight is removed, to second order and with the diagonal of the
Hessian only: |w · g + ½ h w²|, as in the published code. (The change itself is -w · g + ½ h w².)
"""
from functools import partial
from typing import Literal

from torch import Tensor

from lth.algorithms.at_init import base
from lth.algorithms.at_init.hessian_diagonal import HessianSettings, taylor_terms
from lth.algorithms.base import ALGORITHMS
from lth.models.network import Buffers
from lth.pruning.tickets import Ticket
from lth.training.task import Task


class Settings(HessianSettings):
    """No additional settings."""

    name: Literal['hts']


@ALGORITHMS.register('hts', settings=Settings)
@base.mask_at_init
def hts(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """Keep the weights with the largest |w · g + ½ h w²|, from gradient and Hessian diagonal (arXiv 2502.11450)."""

    return base.score_mask(task, settings, start, partial(scores, settings=settings), settings.statistics)


def scores(task: Task, weights: Tensor, buffers: Buffers, settings: HessianSettings) -> Tensor:
    """|w · g + ½ h w²| of one network: (N,) -> (P,)."""

    terms = taylor_terms(task, weights, buffers, settings)
    pruned = weights[:len(terms.diagonal)]
    return (pruned * terms.gradient + terms.diagonal * pruned ** 2 / 2).abs()
