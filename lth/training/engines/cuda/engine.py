"""The CUDA-graph engine: the whole step is captured once and replayed, with nothing to decide on the host.

Step counter, order of the pictures, learning rates, losses and right answers are device tensors, so the host waits only
where training is measured. `Replay` also runs without a GPU, step by step: that is how it is tested against the plain
engine.
"""
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lth.training.engines.backward import make_backward
from lth.training.engines.cuda.batched_mlp import make_batched_backward
from lth.training.engines.cuda.packed import PackedWeights, pack_surviving
from lth.training.engines.precision import precision_context
from lth.training.engines.metrics import evaluate
from lth.training.engines.sparse_cpu.supported import DenseLayer, supported_dense_chain
from lth.training.engines.step import Pass, TrainingStep
from lth.training.task import Metrics, Parametrization, Segment, State, Task

_WARMUP = 3
# Small networks cost less than the launch of a graph, so one graph holds several of their steps.
_SMALL, _STEPS_PER_GRAPH = 2_000_000, 10


class CudaGraph:
    """Captured steps on one GPU; a capture is kept for as long as the same task trains."""

    name = 'cuda-graph'

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._last: tuple[Task, Parametrization | None, CapturedStep] | None = None

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Trains from the state, yielding at each stop."""

        packed = None if parametrization or _layers(task) is None else pack_surviving(state, trainable)
        learned = packed or parametrization
        # What is packed is captured for its mask, which trains for a round.
        if packed or self._last is None or self._last[0] is not task or self._last[1] is not learned:
            self._last = None  # frees the old graph's memory before the new one takes its own
            self._last = (task, learned, CapturedStep(task, state, learned))
        yield from self._last[2].run(state, trainable=trainable, stops=stops)

    def evaluate(self, task: Task, state: State, pictures: Sequence[Tensor] | None, _token: object = None, /) -> Metrics:
        """The replicates' scores on training-set pictures, or on the test set if None."""

        return evaluate(task, state, pictures)


class CapturedStep:
    """The captured step of one task with the tensors it reads and writes."""

    def __init__(self, task: Task, state: State, parametrization: Parametrization | None = None) -> None:
        device, seeds = state.weights.device, len(task.seeds)
        self._task = task
        self._rates = torch.as_tensor(task.learning_rates, dtype=torch.float32, device=device)
        self._rate = torch.zeros((), device=device)
        self._packed = parametrization if isinstance(parametrization, PackedWeights) else None
        begun = self._packed.packed(state) if self._packed else state
        self._program = TrainingStep(task, begun, parametrization, rate=self._rate, backward=_backward(task))
        if self._packed:
            # All that is packed trains: nothing is to be held, in the graph either.
            self._program.load(begun, torch.ones_like(begun.weights, dtype=torch.bool))
        # Iteration, position in the epoch, column of the losses: (1,) each, counted up inside the graph.
        self._counters = torch.zeros(3, 1, dtype=torch.int64, device=device)
        self._losses = torch.zeros(seeds, task.steps, device=device)
        self._correct = torch.zeros(seeds, task.steps, dtype=torch.int64, device=device)
        self._graphs = self._captured() if device.type == 'cuda' else {}

    def run(self, state: State, *, trainable: Tensor, stops: Iterable[int]) -> Iterator[Segment]:
        """Trains from the state, yielding at each stop."""

        packed = self._packed
        if packed:
            begun = packed.packed(state)
            self._program.load(begun, torch.ones_like(begun.weights, dtype=torch.bool))
        else:
            self._program.load(state, trainable, fixed=True)
        self._counters[0].fill_(state.step)
        step = state.step
        for stop in stops:
            self._counters[2].zero_()
            for start in self._starts(step, stop):
                epoch, position = divmod(start, self._task.steps_per_epoch)
                if position == 0 or start == state.step:
                    self._program.batches.begin(epoch)
                    self._counters[1].fill_(position)
                self._advance(min(stop, (epoch + 1) * self._task.steps_per_epoch) - start)
                self._task.on_step(start, None)
            losses, correct = (table[:, :stop - step].clone() for table in (self._losses, self._correct))
            step = stop
            here = replace(self._program.state(step), engine=CudaGraph.name)
            yield Segment(packed.unpacked(here) if packed else here, losses, correct)

    def tick(self) -> None:
        """One step, everything it needs read from the device: what is captured."""

        iteration, position, column = self._counters
        self._rate.copy_(self._rates.index_select(0, iteration).squeeze(0))
        losses, correct = self._program.step(self._program.batches.columns.index_select(0, position).squeeze(0))
        self._losses.index_copy_(1, column, losses[:, None].to(self._losses.dtype))
        self._correct.index_copy_(1, column, correct[:, None])
        self._counters += 1

    def _starts(self, step: int, stop: int) -> list[int]:
        """The first steps of the stretches of one epoch each between here and the stop."""

        whole = self._task.steps_per_epoch
        return [step, *range((step // whole + 1) * whole, stop, whole)]

    def _advance(self, steps: int) -> None:
        """That many ticks, within one epoch."""

        with precision_context(self._task):
            for size, graph in self._graphs.items():
                for _ in range(steps // size):
                    graph.replay()
                steps %= size
            for _ in range(steps if not self._graphs else 0):
                self.tick()

    def _captured(self) -> dict[int, torch.cuda.CUDAGraph]:
        """Graphs of several steps and of one, the largest first. Warm-up steps train garbage: `load` overwrites it."""

        small = self._program.learned.numel() < _SMALL
        long = min(self._task.steps, self._task.steps_per_epoch) >= _STEPS_PER_GRAPH
        stream = torch.cuda.Stream(self._program.learned.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), precision_context(self._task), warnings.catch_warnings():
            # Optimizers that are ready to be captured warn when they step before the capture, as they must here.
            warnings.simplefilter('ignore', UserWarning)
            for _ in range(_WARMUP):
                self._counters.zero_()
                self.tick()
        torch.cuda.current_stream().wait_stream(stream)
        graphs = {}
        for size in (_STEPS_PER_GRAPH, 1) if small and long else (1,):
            graphs[size] = torch.cuda.CUDAGraph()
            with precision_context(self._task), torch.cuda.graph(graphs[size]):
                for _ in range(size):
                    self.tick()
            self._refuse_empty(graphs[size], size)
        return graphs

    def _refuse_empty(self, graph: torch.cuda.CUDAGraph, size: int) -> None:
        """A capture on another stream or device would hold nothing, and training with it would do nothing, silently."""

        self._counters.zero_()
        graph.replay()
        if self._counters.flatten().tolist() != [size] * 3:
            raise RuntimeError(f'a captured graph of {size} steps counted {self._counters.flatten().tolist()}')


def _layers(task: Task) -> list[DenseLayer] | None:
    """The layers of a network that is a chain of dense ones, if its products may be written out: not in autocast."""

    return None if task.training.precision == 'bf16' else supported_dense_chain(task.network)


def _backward(task: Task) -> Pass:
    """How a pass is made: by batched products where the network is a chain of dense layers, else by autograd."""

    layers = _layers(task)
    return make_backward if layers is None else lambda _network, weights, _buffers: make_batched_backward(layers, weights)
