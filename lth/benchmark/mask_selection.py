"""How long the choice of a mask takes, and how much memory it wants beside the scores and the mask before."""
import statistics
import time
from typing import NamedTuple

import torch

from lth import rng
from lth.experiments.plan import Plan
from lth.pruning import masks
from lth.system.memory import measure_peak


class SelectionTime(NamedTuple):
    """Keeping 80% of so many weights: median seconds, MiB at the peak beyond what was there before."""

    scores: str
    weights: int
    seconds: float
    extra_memory: float | None


def time_selection(plan: Plan, *, turns: int) -> list[SelectionTime]:
    """Masks over all prunable weights of the network on one thread: scores all distinct, and all equal."""

    torch.set_num_threads(1)
    weights = plan.network.layout.prunable_count
    alive = torch.ones(1, weights, dtype=torch.bool)
    scores = torch.rand(1, weights, generator=rng.generator(0, 'bench'))
    return [_choice('distinct', scores, alive, turns), _choice('all equal', scores.zero_(), alive, turns)]


def _choice(name: str, scores: torch.Tensor, alive: torch.Tensor, turns: int) -> SelectionTime:
    times = []
    with measure_peak() as extra:
        for _ in range(turns):
            began = time.perf_counter()
            masks.keep_best(scores, alive, round(0.8 * alive.shape[1]), seeds=[0])
            times.append(time.perf_counter() - began)
        return SelectionTime(name, alive.shape[1], statistics.median(times), extra())
