"""Evaluation as captured graphs: one batch is captured for each set of images, and replayed with other weights.

Without a GPU the batches run one after the other without a capture, so that they can be tested.
"""
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.modules.batchnorm import _BatchNorm

from lth.datasets import Split
from lth.models.network import replicate_buffers
from lth.training.engines import metrics
from lth.training.engines.batches import Preprocessing
from lth.training.engines.devices import current_device
from lth.training.engines.precision import precision_context
from lth.training.state import Metrics, State
from lth.training.task import Task

# pylint: disable=protected-access # torch has no public names for these functions

_WARMUP_BATCHES = 3


class _Rows(NamedTuple):
    """The batches of an evaluation: images as indices (batches, R, B), and which of them count (batches, B). The last
    batch is filled up with images that don't.
    """

    indices: Tensor
    counted: Tensor


class CapturedEvaluation:
    """Evaluates states of tasks that differ only in their seeds. Graphs are kept for each number of images."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._passes: dict[tuple[object, ...], _EvaluationPass] = {}
        self._estimates: dict[tuple[object, ...], _StatisticsPass] = {}

    def evaluate(
            self, task: Task, state: State, indices: Sequence[Tensor] | None, _token: object = None, /) -> Metrics:
        """Each replicate's metrics, as `Engine.evaluate`."""

        split = task.data.test if indices is None else task.data.train
        if not self._accepts(task, split):
            return metrics.evaluate(task, state, indices)
        if indices is None:
            indices = [torch.arange(len(split.labels))] * len(state.weights)
        key, rows = (split is task.data.test, len(indices[0]), len(state.weights)), _rows(task, indices)
        if key not in self._passes:
            self._passes[key] = _EvaluationPass(task, state, split, rows)
        return self._passes[key].run(state, rows)

    def reestimate_batch_norm(self, task: Task, state: State, *, at_most: int = 10_000) -> State:
        """The state with BatchNorm's running statistics computed again, as `metrics.reestimate_batch_norm`."""

        count = min(at_most, len(task.splits[0][0]))
        divides = count % metrics.evaluation_batch_size(task.network) == 0
        if not task.network.has_batch_norm or not divides or not self._accepts(task, task.data.train):
            return metrics.reestimate_batch_norm(task, state, at_most=at_most)
        rows = _rows(task, [training[:count] for training, _ in task.splits])
        key = count, len(state.weights)
        if key not in self._estimates:
            self._estimates[key] = _StatisticsPass(task, state, rows)
        return replace(state, buffers=self._estimates[key].run(state, rows))

    def _accepts(self, task: Task, split: Split) -> bool:
        """Whether the task can be captured; forgets the graphs of another task. Code of users may need the host."""

        if not isinstance(split.images, Tensor) or task.network.has_user_code:
            return False
        if self._task is None or not _same_graphs(self._task, task):
            self._passes.clear()
            self._estimates.clear()
        self._task = task
        return True


class _Pass:
    """A batch of images, with the tensors that it reads: weights (R, N), buffers, rows and the number of the batch."""

    def __init__(self, task: Task, state: State, split: Split, rows: _Rows) -> None:
        assert isinstance(split.images, Tensor)
        self.task, self.images, self.labels = task, split.images, split.labels
        self.weights = state.weights.clone()
        self.buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
        self.preprocessing = Preprocessing.of(task, self.weights.device)
        self.rows = _Rows(*(tensor.clone() for tensor in rows))
        self.number = torch.zeros(1, dtype=torch.int64, device=self.weights.device)
        self._replay: Callable[[], None] | None = None

    def next_rows(self) -> tuple[Tensor, Tensor]:
        """The images of the next batch as indices (R, B), and which of them count (B,)."""

        indices, counted = (tensor.index_select(0, self.number).squeeze(0) for tensor in self.rows)
        self.number += 1
        return indices, counted

    def inputs(self, indices: Tensor) -> Tensor:
        """The network's input: (R, B) -> (R, B, C, H, W)."""

        return self.preprocessing.crop_center(self.images[indices]).to(self.weights.dtype)

    @torch.no_grad()
    def run_batches(
            self, state: State, rows: _Rows, run_batch: Callable[[], None], reset: Callable[[], object]) -> None:
        """Run all batches with the weights of a state. The first call captures `run_batch`; `reset` is called before
        the first batch.
        """

        self.weights.copy_(state.weights)
        for tensor, source in zip(self.rows, rows, strict=True):
            tensor.copy_(source)
        with current_device(self.weights.device), precision_context(self.task):
            self._replay = self._replay or self._captured(state, run_batch)
            self._start(state)
            reset()
            for _ in range(len(rows.counted)):
                self._replay()

    def _start(self, state: State) -> None:
        self.number.zero_()
        for name, buffer in self.buffers.items():
            buffer.copy_(state.buffers[name])

    def _captured(self, state: State, run_batch: Callable[[], None]) -> Callable[[], None]:
        """A function that replays the batch; without a GPU the batch itself."""

        if not self.weights.is_cuda:
            return run_batch
        stream = torch.cuda.Stream(self.weights.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARMUP_BATCHES):
                self._start(state)
                run_batch()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run_batch()
        return graph.replay


class _EvaluationPass(_Pass):
    """Adds up losses and correct predictions, in double precision on the device."""

    def __init__(self, task: Task, state: State, split: Split, rows: _Rows) -> None:
        super().__init__(task, state, split, rows)
        self._sums = torch.zeros(2, len(self.weights), dtype=torch.float64, device=self.weights.device)

    def run(self, state: State, rows: _Rows) -> Metrics:
        """The metrics of a state's replicates."""

        self.run_batches(state, rows, self._add_batch, self._sums.zero_)
        loss, accuracy = (self._sums / rows.counted.sum()).tolist()
        return Metrics(tuple(loss), tuple(accuracy))

    def _add_batch(self) -> None:
        indices, counted = self.next_rows()
        logits, labels = self._logits(self.inputs(indices)).to(self.weights.dtype), self.labels[indices]
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='none').view(labels.shape)
        correct = logits.argmax(2) == labels
        self._sums += torch.stack([(losses * counted).sum(1), (correct & counted).sum(1)])

    def _logits(self, inputs: Tensor) -> Tensor:
        """The logits of all replicates: (R, B, C, H, W) -> (R, B, classes)."""

        network = self.task.network
        if network.stackable:
            return vmap(lambda weights, images: network.logits(weights, {}, images))(self.weights, inputs)
        rows = []
        for replicate, (weights, images) in enumerate(zip(self.weights, inputs, strict=True)):
            buffers = replicate_buffers(self.buffers, replicate)
            rows.append(network.logits(weights, buffers, images))
        return torch.stack(rows)


class _StatisticsPass(_Pass):
    """Adds up the statistics of BatchNorm layers, each of which then is the mean over all batches."""

    def __init__(self, task: Task, state: State, rows: _Rows) -> None:
        super().__init__(task, state, task.data.train, rows)
        self._modules = [self._module(replicate) for replicate in range(len(self.weights))]
        self._names = [name for name, buffer in self.buffers.items() if _is_statistic(task.network.module, name)]
        self._sums = {name: torch.zeros_like(self.buffers[name]) for name in self._names}

    def run(self, state: State, rows: _Rows) -> dict[str, Tensor]:
        """The state's buffers with new statistics."""

        self.run_batches(state, rows, self._add_batch, self._reset)
        buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
        for name, total in self._sums.items():
            buffers[name] = total / len(rows.counted)
            counter = f'{name.rpartition(".")[0]}.num_batches_tracked'
            buffers[counter] = torch.full_like(buffers[counter], len(rows.counted))
        return buffers

    def _add_batch(self) -> None:
        for module, images in zip(self._modules, self.inputs(self.next_rows()[0]), strict=True):
            module(images)
        torch._foreach_add_(list(self._sums.values()), [self.buffers[name] for name in self._names])

    def _reset(self) -> None:
        torch._foreach_zero_(list(self._sums.values()))

    def _module(self, replicate: int) -> nn.Module:
        """A network whose BatchNorm layers take over the statistics of each batch; the rest is in eval mode."""

        buffers = replicate_buffers(self.buffers, replicate)
        module = self.task.network.bind(self.weights[replicate], buffers).eval()
        for layer in module.modules():
            if isinstance(layer, _BatchNorm) and layer.track_running_stats:
                layer.train()
                layer.momentum, layer.num_batches_tracked = 1., None
        return module


def _is_statistic(module: nn.Module, name: str) -> bool:
    owner, _, leaf = name.rpartition('.')
    return leaf in ('running_mean', 'running_var') and isinstance(module.get_submodule(owner), _BatchNorm)


def _rows(task: Task, indices: Sequence[Tensor]) -> _Rows:
    """The batches of these images, indices (n,) for each replicate."""

    size, count, device = metrics.evaluation_batch_size(task.network), len(indices[0]), task.engine.device
    batches = -(-count // size)
    stacked = F.pad(torch.stack(list(indices)), (0, batches * size - count))
    counted = torch.arange(batches * size) < count
    return _Rows(stacked.view(len(indices), batches, size).transpose(0, 1).to(device),
                 counted.view(batches, size).to(device))


def _same_graphs(first: Task, second: Task) -> bool:
    """Whether the graphs of one task can evaluate the other too."""

    same = first.network is second.network and first.data is second.data
    equal = (first.data_settings, first.training.precision) == (second.data_settings, second.training.precision)
    return same and equal
