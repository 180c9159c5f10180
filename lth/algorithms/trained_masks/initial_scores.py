"""Scores in [0, 1] before training (Sreenivasan et al. 2022).

To add a distribution, add its name to `ScoreDistribution` and a case to `sample_scores`.
"""
from typing import Literal

import torch
from torch import Tensor

ScoreDistribution = Literal['uniform', 'half', 'bernoulli', 'bimodal', 'skew']


def sample_scores(distribution: ScoreDistribution, count: int, random: torch.Generator) -> Tensor:
    """`count` scores of the distribution: (P,)."""

    match distribution:
        case 'uniform':
            return torch.rand(count, generator=random)
        case 'half':
            # Slightly above: at exactly one half no weight is used, and no score gets a gradient.
            return torch.full((count,), 0.5 + torch.finfo(torch.float32).eps)
        case 'bernoulli':
            return torch.randint(0, 2, (count,), generator=random).to(torch.float32)
        case 'bimodal':
            return _sample_beta(0.1, 0.1, count, random)
        case 'skew':
            return _sample_beta(1., 5., count, random)


def _sample_beta(alpha: float, beta: float, count: int, random: torch.Generator) -> Tensor:
    """Beta-distributed numbers x / (x + y), computed from Gamma-distributed x and y."""

    shapes = torch.tensor([[alpha], [beta]], dtype=torch.float64).expand(2, count).contiguous()
    # torch has no public function for Gamma-distributed numbers that takes a generator.
    x, y = torch._standard_gamma(shapes, generator=random)  # pylint: disable=protected-access
    ratio: Tensor = x / (x + y)
    return ratio.to(torch.float32)
