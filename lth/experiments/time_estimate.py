"""How long plans may train: the time of a few steps of each dense network, times the steps of the plans."""
import json
import time
from dataclasses import replace

import torch

from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget, set_up_engine
from lth.pruning.tickets import dense_ticket
from lth.recipes.durations import Duration
from lth.training.state import State

# The first step prepares what the others need, such as memory and compiled code.
_STOPS = (1, 2, 4, 8, 16, 32, 64, 128)
_SECONDS = 1.


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
    """Seconds of a step of the dense network, the mean over the steps of about a second after the first one."""

    engine = set_up_engine(plan, replace(target, compile='off'))
    length = Duration(_STOPS[-1], 'iterations')
    training = plan.recipe.training.model_copy(update={'length': length, 'measure_every': length})
    task = replace(plan.task(plan.load(target.datasets, engine.device), [0], engine), training=training)
    ticket, times = dense_ticket(task), list[float]()
    trainable = torch.ones_like(ticket.weights, dtype=torch.bool)
    for segment in engine.run(task, State(ticket.weights, ticket.buffers), trainable=trainable, stops=_STOPS):
        float(segment.losses[0, -1])  # waits for a GPU
        times.append(time.monotonic())
        if times[-1] - times[0] > _SECONDS:
            break
    return (times[-1] - times[0]) / (_STOPS[len(times) - 1] - _STOPS[0])
