"""The sparse engine: trains and evaluates only the weights that a ticket keeps, on the CPU.

A step on a ticket of dense layers with 5% of the weights costs about 5% of a dense step; with convolutions, a fifth to
a fourth. The eager engine does everything else: rounds that are too dense (rule.py), learned scores, pruned weights
that are not 0, and networks that are not chains (chains.py).
"""
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines import metrics
from lth.training.engines.chains import Chain, supported_chain
from lth.training.engines.eager import Eager
from lth.training.engines.optimizers import state_vectors
from lth.training.engines.sparse_cpu import rule
from lth.training.engines.sparse_cpu.dense_gradient import dense_gradient
from lth.training.engines.sparse_cpu.epoch_rows import EpochRows
from lth.training.engines.sparse_cpu.images import ImageCache
from lth.training.engines.sparse_cpu.prepared import PreparedNetwork, prepare
from lth.training.engines.sparse_cpu.replicate import Replicate
from lth.training.state import BatchGradient, Metrics, Segment, State
from lth.training.task import Parametrization, Task


class SparseCpu:
    """Compiled loops over the kept weights where the rule expects them to be faster, or `always` where possible."""

    reestimate_batch_norm = staticmethod(metrics.reestimate_batch_norm)

    def __init__(self, device: torch.device, *, always: bool = False) -> None:
        self.device = device
        self.name = 'sparse' if always else 'eager or sparse'
        self._always = always
        self._eager = Eager(device)
        self._images, self._orders = ImageCache(), EpochRows()
        self._latest: tuple[Task, Chain | None] | None = None

    def replicates(self, _network: Network, _training: TrainingSettings) -> int:
        """Always 1: several replicates take as long together as one after the other."""

        return 1

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Train from the state and yield a segment at each stop."""

        chain = None if parametrization else self._chain(task, state.weights, trainable)
        # Compiled loops leave out all weights that are not trained, so these must be 0.
        if chain is None or bool((state.weights.to(torch.bool) & ~trainable).any()):
            yield from self._eager.run(task, state, trainable=trainable, stops=stops, parametrization=parametrization)
            return
        state = _with_optimizer(task, state)
        images = self._images.images(task, task.data.train)
        networks = [prepare(task, chain, kept, weights) for kept, weights in zip(trainable, state.weights, strict=True)]
        replicates = [Replicate(task, state, number, network, images, self._orders)
                      for number, network in enumerate(networks)]
        for stop in stops:
            results = [replicate.train(stop) for replicate in replicates]
            state = _state(state, replicates, stop)
            losses, correct = (torch.stack(parts) for parts in zip(*results, strict=True))
            token = [network._replace(weights=network.weights.copy()) for network in networks]
            yield Segment(state, losses, correct, token)

    def gradient(self, task: Task, state: State) -> BatchGradient:
        """The gradient of the batch of the iteration `state.step`, for all weights of the state."""

        chain = self._possible_chain(task)
        if chain is None or chain.convolutions or state.weights.dtype != torch.float32:
            return self._eager.gradient(task, state)
        epoch, position = divmod(state.step, task.steps_per_epoch)
        rows = [self._orders.rows(task, number, epoch)[position, :task.training.batch_size]
                for number in range(len(task.seeds))]
        return dense_gradient(task, chain.dense, state, rows)

    def evaluate(self, task: Task, state: State, indices: Sequence[Tensor] | None, token: object = None, /) -> Metrics:
        """Loss and accuracy on images of the training set, or on the test set if `indices` is None."""

        networks = cast(list[PreparedNetwork], token) if token else self._networks(task, state.weights)
        if networks is None:
            return self._eager.evaluate(task, state, indices)
        split = task.data.test if indices is None else task.data.train
        rows = []
        for number, network in enumerate(networks):
            rows.append(network.evaluate(self._images.chunks(task, split, indices[number] if indices else None)))
        return Metrics(*zip(*rows, strict=True))

    def expects(self, network: Network, kept: int, batch_size: int) -> bool:
        """Whether compiled loops are likely to train a network with this number of prunable weights.

        This assumes that all layers keep the same share, so it only decides whether to compile beforehand.
        """

        chain, density = supported_chain(network), network.layout.density(kept)
        if chain is None:
            return False
        return self._takes([round(density * layer.weight.size) for layer in chain.layers], chain, batch_size)

    def _possible_chain(self, task: Task) -> Chain | None:
        """The layers of a task if compiled loops can train it, else None. To walk over a module takes longer than ten
        steps of a sparse network, so the answer for the latest task is remembered.
        """

        if self._latest is None or self._latest[0] is not task:
            in_memory = isinstance(task.data.train.images, Tensor)
            obstacle = rule.sparse_obstacle(task.network, task.data_settings, task.training, streamed=not in_memory)
            self._latest = task, None if obstacle else supported_chain(task.network)
        return self._latest[1]

    def _takes(self, kept: Sequence[int], chain: Chain, batch_size: int) -> bool:
        return self._always or rule.faster(kept, chain, batch_size)

    def _chain(self, task: Task, weights: Tensor, kept: Tensor) -> Chain | None:
        """The layers of a task if compiled loops train the kept weights (R, N), else None."""

        chain = self._possible_chain(task)
        if chain is None or weights.dtype != torch.float32:
            return None
        counts = [int(kept[:, layer.weight.start:layer.weight.stop].count_nonzero(1).max()) for layer in chain.layers]
        return chain if self._takes(counts, chain, task.training.batch_size) else None

    def _networks(self, task: Task, weights: Tensor) -> list[PreparedNetwork] | None:
        """Each replicate's network of all non-zero weights, None if compiled loops do not evaluate them."""

        kept = weights != 0
        chain = self._chain(task, weights, kept)
        return [prepare(task, chain, *row) for row in zip(kept, weights, strict=True)] if chain else None


def _with_optimizer(task: Task, state: State) -> State:
    """The state with the optimizer's tensors, which are missing before the first step."""

    if state.optimizer:
        return state
    optimizer = {name: torch.zeros_like(state.weights) for name in state_vectors(task.training.optimizer)}
    if task.training.optimizer.name != 'sgd':
        # One count per parameter, as in torch: the stacked vectors of several replicates are one parameter.
        optimizer['step'] = torch.zeros(len(task.network.layout.slots) if len(state.weights) == 1 else 1)
    return replace(state, optimizer=optimizer)


def _state(before: State, replicates: Sequence[Replicate], step: int) -> State:
    """The state of all replicates; pruned weights and their optimizer state do not change."""

    optimizer = {name: tensor.clone() for name, tensor in before.optimizer.items()}
    buffers = {name: buffer.clone() for name, buffer in before.buffers.items()}
    state = State(before.weights.clone(), buffers, step, optimizer, engine='sparse')
    for replicate in replicates:
        replicate.write(state)
    return state
