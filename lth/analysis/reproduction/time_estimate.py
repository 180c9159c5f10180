"""How long an experiment may take: the time of a few steps of each dense network, times the steps of all runs."""
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from lth.analysis.reproduction.reproduce import ReproductionPlan
from lth.experiments import grid
from lth.experiments.grid import SEARCHES, GridRun
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget, set_up_engine
from lth.pruning.tickets import dense_ticket, train_ticket
from lth.recipes.durations import Duration
from lth.system import environment
from lth.training.task import Task

# Measuring takes as long in both, so the difference is the time of the steps alone.
_FEW, _MANY = 10, 50


def estimate_sentence(planned: ReproductionPlan, target: RunTarget) -> str:
    """The estimate in words."""

    return (f'All searches, their controls and seeds train for at most about {_estimate(planned, target)} on this '
            'machine: that is the time of dense steps, and pruned networks take less on the sparse engine. Measuring, '
            'and runs that start from tickets, are not counted.')


def _estimate(planned: ReproductionPlan, target: RunTarget) -> timedelta:
    seconds, known = 0., dict[str, float]()
    for run in planned.runs.values():
        if run.command in SEARCHES:
            plan = grid.search_plan(run, device=target.device)
            key = f'{run.model} {run.dataset} {plan.recipe.training}'
            known.setdefault(key, _step_seconds(plan, target))
            seconds += known[key] * sum(_steps(run, plan))
    at_once = min(len(planned.seeds), environment.core_count())
    return timedelta(seconds=math.ceil(seconds * math.ceil(len(planned.seeds) / at_once)))


def _steps(run: GridRun, plan: Plan) -> Iterator[int]:
    """The steps of a seed: of the search, and of each draw of its controls, which leave out the dense round."""

    yield plan.total_steps
    yield from (draws * (plan.total_steps - plan.steps) for draws in run.controls.values())


def _step_seconds(plan: Plan, target: RunTarget) -> float:
    """Seconds of a step of the dense network, the mean of a few after the first ones."""

    engine = set_up_engine(plan, replace(target, compile='off'))
    task = plan.task(plan.load(target.datasets, engine.device), [0], engine)
    _training_seconds(task, _FEW)
    few, many = _training_seconds(task, _FEW), _training_seconds(task, _MANY)
    return max(0., many - few) / (_MANY - _FEW)


def _training_seconds(task: Task, steps: int) -> float:
    """How long a dense network trains for some steps, and is measured at both ends."""

    length = Duration(steps, 'iterations')
    training = task.training.model_copy(update={'length': length, 'measure_every': length})
    start = time.monotonic()
    train_ticket(replace(task, training=training), dense_ticket(task))
    return time.monotonic() - start
