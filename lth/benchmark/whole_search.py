"""A whole search for tickets against the usual way: estimated from steps at some of its densities, or really timed."""
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth.benchmark.timing import Contender, Row, time_contenders
from lth.experiments import runner
from lth.experiments.plan import Plan
from lth.experiments.reporter import Reporter
from lth.training.engines import select

# At most so many densities are timed, from the first round to the last.
_DENSITIES = 8


@dataclass(frozen=True)
class Study:
    """Steps of the whole search of one seed; seconds of the usual way's step times these steps, of ours, estimated
    without measurements, and really, with all that a run does, if it was run.
    """

    rows: list[Row]
    rounds: int
    steps: int
    usual_seconds: float
    estimated_seconds: float
    real_seconds: float | None = None


def estimate_search(plan: Plan, datasets: Path, device: str, *, threads: int, turns: int) -> Study:
    """The study from steps that are timed in turn with the usual way's; between densities the time is interpolated."""

    place = str(select.resolve_device(device))
    shares = [plan.network.layout.density(count) for count in plan.kept]
    chosen = sorted({*shares[::math.ceil(len(shares) / (_DENSITIES - 1))], shares[-1]})
    entrants = [Contender('usual', place), *(Contender('auto', place, density=share) for share in chosen)]
    rows = time_contenders(plan, datasets, entrants, threads=threads, turns=turns)
    steps = np.interp(shares, chosen, [row.ms_per_step for row in rows[1:]])
    return Study(rows, len(shares), plan.total_steps, rows[0].ms_per_step * plan.total_steps / 1000,
                 float(steps.sum()) * plan.steps / 1000)


def time_search(plan: Plan, datasets: Path, device: str, *, threads: int, reporter: Reporter) -> float:
    """Seconds that the whole search of one seed takes, from reading the pictures to the last file; nothing is kept."""

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        place = runner.RunTarget(Path(folder) / 'run', datasets, device, threads)
        runner.run_plan(plan, place, [0], reporter)
        return time.perf_counter() - began
