"""How long an experiment may take: the time of a few steps of each dense network, times the steps of all runs."""
import math
from collections.abc import Iterator
from datetime import timedelta

from lth.analysis.reproduction.reproduce import ReproductionPlan
from lth.experiments import grid
from lth.experiments.grid import SEARCHES, GridRun
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.experiments.time_estimate import StepTimes
from lth.system import environment


def estimate_sentence(planned: ReproductionPlan, target: RunTarget) -> str:
    """The estimate in words."""

    return (f'All searches, their controls and seeds train for at most about {_estimate(planned, target)} on this '
            'machine: that is the time of dense steps, and pruned networks take less on the sparse engine. Measuring, '
            'and runs that start from tickets, are not counted.')


def _estimate(planned: ReproductionPlan, target: RunTarget) -> timedelta:
    seconds, times = 0., StepTimes(target)
    for run in planned.runs.values():
        if run.command in SEARCHES:
            plan = grid.search_plan(run, device=target.device)
            seconds += times.seconds(plan) * sum(_steps(run, plan))
    at_once = min(len(planned.seeds), environment.core_count())
    return timedelta(seconds=math.ceil(seconds * math.ceil(len(planned.seeds) / at_once)))


def _steps(run: GridRun, plan: Plan) -> Iterator[int]:
    """The steps of a seed: of the search, and of each draw of its controls, which leave out the dense round."""

    yield plan.total_steps
    yield from (draws * (plan.total_steps - plan.steps) for draws in run.controls.values())
