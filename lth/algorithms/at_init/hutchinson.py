"""Hutchinson pruning ("What scalable second-order information knows for pruning at initialization", arXiv 2502.11450).

The score is the second-order term of the change of the loss if the weight is removed, with the diagonal of the Hessian:
½ h w². It is not an absolute value: weights with negative curvature are removed first.
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

    name: Literal['hutchinson']


@ALGORITHMS.register('hutchinson', settings=Settings)
@base.mask_at_init
def hutchinson(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """Keep the weights with the largest ½ h w², h being the diagonal of the Hessian (arXiv 2502.11450)."""

    return base.score_mask(task, settings, start, partial(scores, settings=settings), settings.statistics)


def scores(task: Task, weights: Tensor, buffers: Buffers, settings: HessianSettings) -> Tensor:
    """½ h w² of one network: (N,) -> (P,)."""

    terms = taylor_terms(task, weights, buffers, settings)
    return terms.diagonal * weights[:len(terms.diagonal)] ** 2 / 2
