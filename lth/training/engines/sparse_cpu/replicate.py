"""Training of one replicate: its kept weights and the optimizer's vectors, packed for the kernels."""
import numpy as np
import torch
from torch import Tensor

from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.optimizers import state_vectors
from lth.training.engines.sparse_cpu.epoch_rows import EpochRows
from lth.training.engines.sparse_cpu.kernels import data, steps
from lth.training.engines.sparse_cpu.kernels.data import Images, Parameters, TrainingBatches, Update
from lth.training.engines.sparse_cpu.kernels.lanes import LANES
from lth.training.engines.sparse_cpu.prepared import PreparedNetwork
from lth.training.state import State
from lth.training.task import Task


class Replicate:
    """One replicate in training. It starts from a state with the optimizer's vectors."""

    def __init__(  # pylint: disable=too-many-positional-arguments # one of each kind
            self, task: Task, state: State, number: int, network: PreparedNetwork, images: Images, orders: EpochRows,
    ) -> None:
        self._network, self._orders = network, orders
        self._task, self._images, self._number = task, images, number
        self._step = state.step
        # SGD does not count its updates.
        self._updates = int(state.optimizer['step'].flatten()[0]) if 'step' in state.optimizer else 0
        self._vector_names = state_vectors(task.training.optimizer)
        self._indices = torch.from_numpy(network.indices)
        vectors = [state.optimizer[name][number, self._indices].numpy() for name in self._vector_names]
        missing = [np.zeros(0, dtype=np.float32)] * (2 - len(vectors))
        self._parameters = Parameters(network.weights, np.zeros_like(network.weights), *vectors, *missing)

    def train(self, stop: int) -> tuple[Tensor, Tensor]:
        """Train up to iteration `stop`: losses and numbers of correct predictions of each step."""

        start = self._step
        losses, correct = np.empty(stop - start, dtype=np.float32), np.empty(stop - start, dtype=np.int64)
        chunks_per_step = -(-self._task.training.batch_size // LANES)
        steps_per_call = max(1, self._network.chunks_per_call // chunks_per_step)
        while self._step < stop:
            epoch, position = divmod(self._step, self._task.steps_per_epoch)
            count = min(stop - self._step, self._task.steps_per_epoch - position, steps_per_call)
            part = slice(self._step - start, self._step - start + count)
            rows = self._orders.rows(self._task, self._number, epoch)[position:position + count]
            self._train(TrainingBatches(rows, self._task.training.batch_size, losses[part], correct[part]))
            self._task.on_step(self._step - 1, None)
        return torch.from_numpy(losses), torch.from_numpy(correct)

    def write(self, state: State) -> None:
        """Write the trained weights and the optimizer's vectors into a state's tensors."""

        state.weights[self._number, self._indices] = torch.from_numpy(self._parameters.weights)
        for name, vector in zip(self._vector_names, self._parameters[2:]):
            state.optimizer[name][self._number, self._indices] = torch.from_numpy(vector)
        if 'step' in state.optimizer:
            state.optimizer['step'].fill_(self._updates)

    def _train(self, batches: TrainingBatches) -> None:
        count = len(batches.rows)
        kind, settings = _optimizer(self._task.training.optimizer)
        rates = self._task.learning_rates[self._step:self._step + count]
        steps.train(self._network.structure, self._network.workspace, self._parameters, self._images, batches,
                    Update(kind, settings, rates, self._updates + 1))
        self._step, self._updates = self._step + count, self._updates + count


def _optimizer(settings: Adam | AdamW | Sgd) -> tuple[int, tuple[float, float, float, float]]:
    """An optimizer's kind and settings as in `Update`."""

    if isinstance(settings, Sgd):
        return data.SGD, (settings.momentum, float(settings.nesterov), settings.weight_decay, 0.)
    kind = data.ADAMW if isinstance(settings, AdamW) else data.ADAM
    return kind, (*settings.betas, settings.epsilon, settings.weight_decay)
