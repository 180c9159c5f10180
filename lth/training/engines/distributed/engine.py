"""The engine of several ranks: the eager engine, in which each rank computes its part of every batch.

All ranks have the complete weights and update them alike. Steps are neither captured nor compiled: on the networks for
which several GPUs pay, launching kernels takes less time than computing them, and streamed images cannot be captured.
"""
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines.distributed import evaluation
from lth.training.engines.distributed.ranks import Ranks
from lth.training.engines.distributed.sharded_pass import sharded_parts
from lth.training.engines.eager import Eager
from lth.training.state import BatchGradient, Metrics, Segment, State
from lth.training.task import Parametrization, Task


class Distributed:
    """Trains one network at a time on the devices of all ranks."""

    def __init__(self, device: torch.device, ranks: Ranks, *, sync_batch_norm: bool) -> None:
        self.device, self.ranks = device, ranks
        self.name = f'eager, {ranks.size} ranks'
        self._eager = Eager(
            device, self.name, sharded_parts(ranks, sync_batch_norm=sync_batch_norm), noise=ranks.rank)

    def replicates(self, _network: Network, _training: TrainingSettings) -> int:
        """Always 1: seeds are trained one after the other."""

        return 1

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Train from the state and yield a segment at each stop. LthError if the ranks start from other values."""

        start = {'the mask': trainable, 'the weights': state.weights, **state.buffers, **state.optimizer}
        self.ranks.refuse_differences(f'Iteration {state.step}', start)
        return self._eager.run(task, state, trainable=trainable, stops=stops, parametrization=parametrization)

    def gradient(self, task: Task, state: State) -> BatchGradient:
        """The gradient of the batch of the iteration `state.step`, of which each rank computes a part."""

        return self._eager.gradient(task, state)

    def evaluate(
            self, task: Task, state: State, indices: Sequence[Tensor] | None, _token: object = None, /) -> Metrics:
        """Loss and accuracy, of which each rank computes a part."""

        return evaluation.evaluate(self.ranks, task, state, indices)

    def reestimate_batch_norm(self, task: Task, state: State, *, at_most: int = 10_000) -> State:
        """The state with BatchNorm's running statistics computed again."""

        return evaluation.reestimate_batch_norm(self.ranks, task, state, at_most=at_most)
