"""Time and memory of the selection of a mask from scores."""
import statistics
import time
from typing import NamedTuple

import torch

from lth import rng
from lth.experiments.plan import Plan
from lth.pruning import masks
from lth.system.memory import measure_peak


class SelectionTime(NamedTuple):
    """Selection of 80% of the weights: median time in seconds, and additional memory at the peak in MiB, None if it is
    unknown. `scores` says whether the scores are distinct or all equal.
    """

    scores: str
    weights: int
    seconds: float
    extra_memory: float | None


def time_selection(plan: Plan, *, turns: int) -> list[SelectionTime]:
    """Time the selection over all prunable weights of the network on one thread, for distinct and for equal scores."""

    torch.set_num_threads(1)
    weights = plan.network.layout.prunable_count
    mask = torch.ones(1, weights, dtype=torch.bool)
    scores = torch.rand(1, weights, generator=rng.generator(0, 'bench'))
    return [_time('distinct', scores, mask, turns), _time('all equal', scores.zero_(), mask, turns)]


def _time(name: str, scores: torch.Tensor, mask: torch.Tensor, turns: int) -> SelectionTime:
    times = []
    with measure_peak() as extra_memory:
        for _ in range(turns):
            start = time.perf_counter()
            masks.keep_best(scores, mask, round(0.8 * mask.shape[1]), seeds=[0])
            times.append(time.perf_counter() - start)
        return SelectionTime(name, mask.shape[1], statistics.median(times), extra_memory())
