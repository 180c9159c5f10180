"""Scores in [0, 1] at the start of a search (Sreenivasan et al. 2022).

A new start is a name in `Start` and a case here.
"""
from typing import Literal

import torch
from torch import Tensor

Start = Literal['uniform', 'half', 'bernoulli', 'bimodal', 'skew']


def start_of(start: Start, count: int, random: torch.Generator) -> Tensor:
    """Scores of that distribution: (P,)."""

    match start:
        case 'uniform':
            return torch.rand(count, generator=random)
        case 'half':
            # Just above, for at exactly one half no weight would take part, and no score be taught.
            return torch.full((count,), 0.5 + torch.finfo(torch.float32).eps)
        case 'bernoulli':
            return torch.randint(0, 2, (count,), generator=random).to(torch.float32)
        case 'bimodal':
            return _beta(0.1, 0.1, count, random)
        case 'skew':
            return _beta(1., 5., count, random)


def _beta(alpha: float, beta: float, count: int, random: torch.Generator) -> Tensor:
    """Beta-distributed numbers, by two Gamma ones."""

    shapes = torch.tensor([[alpha], [beta]], dtype=torch.float64).expand(2, count).contiguous()
    ones, others = torch._standard_gamma(shapes, generator=random)  # pylint: disable=protected-access # no public one
    drawn: Tensor = ones / (ones + others)
    return drawn.to(torch.float32)
