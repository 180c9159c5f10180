"""The CUDA engine: a complete training step is captured as a CUDA graph and replayed, without decisions on the host.

Step counters, the order of images, learning rates, losses and numbers of correct predictions are tensors on the device:
the host waits only where training is measured. `CapturedStep` also runs without a GPU, then step by step and without a
capture, so that it can be tested against the eager engine.
"""
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from lth.training.engines import metrics
from lth.training.engines.backward import make_backward
from lth.training.engines.chains import DenseLayer, supported_dense_chain
from lth.training.engines.cuda.batched_mlp import make_batched_backward
from lth.training.engines.cuda.packed import Packing, make_packing
from lth.training.engines.devices import current_device
from lth.training.engines.precision import precision_context
from lth.training.engines.step import BackwardFactory, TrainingStep
from lth.training.task import Parametrization, Segment, State, Task

_WARMUP_STEPS = 3
# A step of a smaller network takes less time than the launch of a graph, so one graph holds several steps.
_SMALL, _STEPS_PER_GRAPH = 2_000_000, 10


class CudaGraph:
    """Captured steps on one GPU. A captured step is kept as long as the same task trains."""

    name = 'cuda-graph'
    evaluate = staticmethod(metrics.evaluate)

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._captured: CapturedStep | None = None

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Train from the state and yield a segment at each stop."""

        packing = None if parametrization or _dense_layers(task) is None else make_packing(state, trainable)
        if packing or self._captured is None or not self._captured.fits(task, parametrization):
            self._captured = None  # frees the memory of the old graph before the new one allocates its own
            self._captured = CapturedStep(task, state, parametrization, packing)
        yield from self._captured.run(state, trainable=trainable, stops=stops)


class CapturedStep:
    """The captured step of one task, and the tensors that it reads and writes."""

    def __init__(
            self, task: Task, state: State, parametrization: Parametrization | None = None,
            packing: Packing | None = None) -> None:
        self._device, replicates = state.weights.device, len(task.seeds)
        self._task, self._parametrization, self._packing = task, parametrization, packing
        self._rates = torch.as_tensor(task.learning_rates, dtype=torch.float32, device=self._device)
        self._rate = torch.zeros((), device=self._device)
        self._training_step = TrainingStep(
            task, state, parametrization=parametrization, packing=packing, rate=self._rate, backward=_backward(task))
        # The iteration, the position in the epoch and the column of the losses, (1,) each, are counted in the graph.
        self._counters = torch.zeros(3, 1, dtype=torch.int64, device=self._device)
        self._losses = torch.zeros(replicates, task.steps, device=self._device)
        self._correct = torch.zeros(replicates, task.steps, dtype=torch.int64, device=self._device)
        with current_device(self._device):
            self._graphs = self._capture() if self._device.type == 'cuda' else {}

    def fits(self, task: Task, parametrization: Parametrization | None) -> bool:
        """Whether the step can train this task again. With a packing it trains one mask only."""

        return self._packing is None and self._task is task and self._parametrization is parametrization

    def run(self, state: State, *, trainable: Tensor, stops: Iterable[int]) -> Iterator[Segment]:
        """Train from the state and yield a segment at each stop."""

        self._training_step.load(state, trainable, fixed=True)
        self._counters[0].fill_(state.step)
        start = state.step
        for stop in stops:
            self._counters[2].zero_()
            for step in self._epoch_starts(start, stop):
                epoch, position = divmod(step, self._task.steps_per_epoch)
                if position == 0 or step == state.step:
                    self._training_step.batches.start_epoch(epoch)
                    self._counters[1].fill_(position)
                self._train(min(stop, (epoch + 1) * self._task.steps_per_epoch) - step)
                self._task.on_step(step, None)
            losses, correct = (values[:, :stop - start].clone() for values in (self._losses, self._correct))
            start = stop
            yield Segment(replace(self._training_step.state(stop), engine=CudaGraph.name), losses, correct)

    def _epoch_starts(self, start: int, stop: int) -> list[int]:
        """Return `start` and the first step of every epoch that starts between it and `stop`."""

        length = self._task.steps_per_epoch
        return [start, *range((start // length + 1) * length, stop, length)]

    def _train(self, steps: int) -> None:
        """Train for some steps within one epoch, by the largest graphs first."""

        with precision_context(self._task), current_device(self._device):
            if not self._graphs:
                for _ in range(steps):
                    self._run_step()
            for size, graph in self._graphs.items():
                for _ in range(steps // size):
                    graph.replay()
                steps %= size

    def _run_step(self) -> None:
        """Run one step that reads everything it needs from the device. This is what a graph captures."""

        iteration, position, column = self._counters
        self._rate.copy_(self._rates.index_select(0, iteration).squeeze(0))
        columns = self._training_step.batches.columns.index_select(0, position).squeeze(0)
        losses, correct = self._training_step.run(columns)
        self._losses.index_copy_(1, column, losses[:, None].to(self._losses.dtype))
        self._correct.index_copy_(1, column, correct[:, None])
        self._counters += 1

    def _capture(self) -> dict[int, torch.cuda.CUDAGraph]:
        """Return graphs by their number of steps, the largest first. `load` replaces what the warm-up has trained."""

        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), precision_context(self._task), warnings.catch_warnings():
            # Capturable optimizers warn when they step outside a capture, which the warm-up must.
            warnings.simplefilter('ignore', UserWarning)
            for _ in range(_WARMUP_STEPS):
                self._counters.zero_()
                self._run_step()
        torch.cuda.current_stream().wait_stream(stream)
        return {size: self._captured_graph(size) for size in self._graph_sizes()}

    def _graph_sizes(self) -> tuple[int, ...]:
        small = self._training_step.learned.numel() < _SMALL
        long = min(self._task.steps, self._task.steps_per_epoch) >= _STEPS_PER_GRAPH
        return (_STEPS_PER_GRAPH, 1) if small and long else (1,)

    def _captured_graph(self, size: int) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with precision_context(self._task), torch.cuda.graph(graph):
            for _ in range(size):
                self._run_step()
        # A capture on a wrong stream or device is empty, and training with it would silently do nothing.
        self._counters.zero_()
        graph.replay()
        counts = self._counters.flatten().tolist()
        if counts != [size] * 3:
            raise RuntimeError(f'a captured graph of {size} steps counted {counts}')
        return graph


def _dense_layers(task: Task) -> list[DenseLayer] | None:
    """Return the layers of a network of dense layers only; None for others, and for bf16, which needs autocast."""

    return None if task.training.precision == 'bf16' else supported_dense_chain(task.network)


def _backward(task: Task) -> BackwardFactory:
    """Return what makes the pass: batched matrix products for dense layers, autograd for all other networks."""

    layers = _dense_layers(task)
    if layers is None:
        return make_backward
    return lambda _network, weights, _buffers, batches: make_batched_backward(layers, weights, batches)
