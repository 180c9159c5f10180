"""The eager engine: ordinary torch operations, one step after the other. The reference for all other engines."""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines import metrics
from lth.training.engines.batch_gradient import batch_gradient
from lth.training.engines.dropout_rng import seed_dropout
from lth.training.engines.precision import precision_context
from lth.training.engines.step import StepParts, TrainingStep
from lth.training.state import BatchGradient, Pause, Segment, State
from lth.training.task import Parametrization, Task


@dataclass(frozen=True)
class Eager:
    """Flat vectors, torch.optim, the mask applied after the step, replicates by vmap; on any device.

    Other `parts` are for engines that compute steps in another way; `noise` is a number of which random numbers in
    training depend too, so that ranks draw different ones.
    """

    device: torch.device
    name: str = 'eager'
    parts: StepParts = StepParts()
    noise: int = 0
    evaluate = staticmethod(metrics.evaluate)
    reestimate_batch_norm = staticmethod(metrics.reestimate_batch_norm)

    def replicates(self, _network: Network, _training: TrainingSettings) -> int:
        """Always 1: several replicates take as long together as one after the other."""

        return 1

    def gradient(self, task: Task, state: State) -> BatchGradient:
        """The gradient of the batch of the iteration `state.step`, for all weights of the state."""

        return batch_gradient(task, state, self.parts, self.noise)

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Train from the state and yield a segment at each stop."""

        training_step = TrainingStep(task, state, parametrization=parametrization, rate=0., parts=self.parts)
        training_step.load(state, trainable)
        start, parts = state.step, list[tuple[Tensor, Tensor]]()
        for stop in stops:
            losses = torch.empty(len(task.seeds), stop - start, device=self.device)
            correct = torch.empty(len(task.seeds), stop - start, dtype=torch.int64, device=self.device)
            with precision_context(task), seed_dropout(task, self.noise) as seed_step:
                for column, step in enumerate(range(start, stop)):
                    epoch, position = divmod(step, task.steps_per_epoch)
                    if position == 0 or step == state.step:
                        training_step.batches.start_epoch(epoch)
                    seed_step(step)
                    training_step.optimizer.set_rate(float(task.learning_rates[step]))
                    columns = training_step.batches.columns[position]
                    losses[:, column], correct[:, column] = training_step.run(columns, step)
                    task.on_step(step, None)
            start = int(stop)
            parts.append((losses, correct))
            if isinstance(stop, Pause) and task.checkpoints and not task.checkpoints.is_due(start):
                continue
            losses, correct = (torch.cat(columns, 1) for columns in zip(*parts))
            parts.clear()
            yield Segment(replace(training_step.state(start), engine=self.name), losses, correct)
