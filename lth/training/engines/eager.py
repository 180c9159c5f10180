"""The plain engine: eager torch, one step after the other. The oracle of all other engines."""
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lth.training.engines.dropout_rng import seed_dropout
from lth.training.engines.precision import precision_context
from lth.training.engines.metrics import evaluate
from lth.training.engines.step import TrainingStep
from lth.training.task import Metrics, Parametrization, Segment, State, Task


@dataclass(frozen=True)
class Eager:
    """Flat vectors, torch.optim, the mask after the step, replicates by vmap; on any device."""

    device: torch.device
    name: str = 'eager'

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Trains from the state, yielding at each stop."""

        program = TrainingStep(task, state, parametrization, rate=0.)
        program.load(state, trainable)
        step = state.step
        for stop in stops:
            losses = torch.empty(len(task.seeds), stop - step, device=self.device)
            correct = torch.empty(len(task.seeds), stop - step, dtype=torch.int64, device=self.device)
            with precision_context(task), seed_dropout(task) as begin_noise:
                for column, at in enumerate(range(step, stop)):
                    epoch, position = divmod(at, task.steps_per_epoch)
                    if position == 0 or at == state.step:
                        program.batches.begin(epoch)
                    begin_noise(at)
                    program.optimizer.set_rate(float(task.learning_rates[at]))
                    losses[:, column], correct[:, column] = program.step(program.batches.columns[position], at)
                    task.on_step(at, None)
            step = stop
            yield Segment(replace(program.state(step), engine=self.name), losses, correct)

    def evaluate(self, task: Task, state: State, pictures: Sequence[Tensor] | None, _token: object = None, /) -> Metrics:
        """The replicates' scores on training-set pictures, or on the test set if None."""

        return evaluate(task, state, pictures)
