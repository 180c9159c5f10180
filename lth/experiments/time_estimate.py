"""How long plans may train: the time of a few steps of each dense network, times the steps of the plans."""
import json
import time
from dataclasses import replace

from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget, set_up_engine
from lth.pruning.tickets import dense_ticket, train_ticket
from lth.recipes.durations import Duration
from lth.training.task import Task

# Measuring takes as long in both, so the difference is the time of the steps alone.
_FEW, _MANY = 10, 50


class StepTimes:
    """The times of dense steps on this machine. One is measured for all plans whose steps cost the same."""

    def __init__(self, target: RunTarget) -> None:
        self._target = target
        self._seconds: dict[str, float] = {}

    def seconds(self, plan: Plan) -> float:
        """Seconds of a step of one seed. LthError if the images cannot be read."""

        recipe = plan.recipe.dump()
        training = [recipe['training'][key] for key in ('batch_size', 'precision')]
        training.append(recipe['training']['optimizer']['name'])
        key = json.dumps([recipe['model'], recipe['data'], training], sort_keys=True)
        if key not in self._seconds:
            self._seconds[key] = _step_seconds(plan, self._target)
        return self._seconds[key]


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
