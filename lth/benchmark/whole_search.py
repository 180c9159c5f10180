"""Time of a whole search for tickets, compared with the baseline: estimated from steps at some densities, or run."""
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth.benchmark.contenders import Contender, loops
from lth.benchmark.timing import StepTime, time_contenders
from lth.experiments import runner
from lth.experiments.plan import Plan
from lth.experiments.reporter import Reporter
from lth.experiments.run_target import RunTarget
from lth.training.engines import select

# At most this many densities are timed, from the first round to the last.
_DENSITIES = 8


@dataclass(frozen=True)
class Study:
    """Time of a whole search with one seed, in seconds.

    rows: the timed steps, those of the baseline and of the expert first.
    rounds, steps: number of rounds, and of steps in all rounds.
    baseline_seconds, expert_seconds: time of a step of the baseline, and of the expert, times the number of steps.
    estimated_seconds: time of the steps of lth, without measurements of accuracy.
    real_seconds: time of the search with measurements and files, None if it was not run.
    """

    rows: list[StepTime]
    rounds: int
    steps: int
    baseline_seconds: float
    expert_seconds: float
    estimated_seconds: float
    real_seconds: float | None = None


def estimate_search(plan: Plan, datasets: Path, device: str, *, threads: int, turns: int) -> Study:
    """Estimate the search from the time of steps at some of its densities; it is interpolated between them."""

    resolved = select.resolve_device(device)
    densities = [plan.network.layout.density(count) for count in plan.kept]
    timed = sorted({*densities[::math.ceil(len(densities) / (_DENSITIES - 1))], densities[-1]})
    rivals = loops(resolved)
    contenders = [*rivals, *(Contender('auto', str(resolved), density=density) for density in timed)]
    rows = time_contenders(plan, datasets, contenders, threads=threads, turns=turns)
    milliseconds = np.interp(densities, timed, [row.ms_per_step for row in rows[len(rivals):]])
    baseline, expert = (row.ms_per_step * plan.total_steps / 1000 for row in rows[:len(rivals)])
    estimated = float(milliseconds.sum()) * plan.steps / 1000
    return Study(rows, len(densities), plan.total_steps, baseline, expert, estimated)


def time_search(plan: Plan, datasets: Path, device: str, *, threads: int, reporter: Reporter) -> float:
    """Run the search with one seed in a temporary folder. Return the seconds from reading the images to the last file.
    """

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        target = RunTarget(Path(folder) / 'run', datasets, device, threads)
        runner.run_plan(plan, target, [0], reporter)
        return time.perf_counter() - start
