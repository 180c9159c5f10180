"""A complete training step, captured as CUDA graphs: everything that it reads is on the device.

Step counters, the order of images, learning rates, losses and numbers of correct predictions are tensors: the host
waits only where training is measured. Without a GPU the step runs again and again without a capture: so it is tested,
and so a CPU trains compiled networks.
"""
import warnings
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from lth.training.engines.cuda.compilation import count_compiled
from lth.training.engines.cuda.parts import step_parts
from lth.training.engines.devices import current_device
from lth.training.engines.packed import Packing
from lth.training.engines.precision import precision_context
from lth.training.engines.step import StepParts, TrainingStep
from lth.training.state import Segment, State
from lth.training.task import Parametrization, Task

# pylint: disable=protected-access # torch has no public names for these functions

_WARMUP_STEPS = 3
# A step of a smaller network takes less time than the launch of a graph, so one graph holds several steps.
_SMALL, _STEPS_PER_GRAPH = 2_000_000, 10


class CapturedStep:
    """The captured step of one task, and the tensors that it reads and writes."""

    def __init__(
            self, task: Task, state: State, parametrization: Parametrization | None = None,
            packing: Packing | None = None, parts: StepParts | None = None) -> None:
        self._device, replicates = state.weights.device, len(task.seeds)
        self._task, self._parametrization, self._packing = task, parametrization, packing
        self._rates = torch.as_tensor(task.learning_rates, dtype=torch.float32, device=self._device)
        self._rate = torch.zeros((), device=self._device)
        self._training_step = TrainingStep(
            task, state, parametrization=parametrization, packing=packing, rate=self._rate,
            parts=parts or step_parts(task))
        # The iteration, the position in the epoch and the column of the losses, (1,) each, are counted in the graph.
        self._counters = torch.zeros(3, 1, dtype=torch.int64, device=self._device)
        self._losses = torch.zeros(replicates, task.steps, device=self._device)
        self._correct = torch.zeros(replicates, task.steps, dtype=torch.int64, device=self._device)
        with current_device(self._device):
            self._graphs = self._capture() if self._device.type == 'cuda' else {}
            if parts and parts.compiles and not self._graphs:
                self._warm_up()

    def fits(self, task: Task, parametrization: Parametrization | None) -> bool:
        """Whether the step can train this task too. With a packing it trains one mask only."""

        if self._packing or self._parametrization is not parametrization:
            return False
        own = self._task
        same = own.network is task.network and own.data is task.data and own.engine is task.engine
        equal = own.training == task.training and own.data_settings == task.data_settings
        return same and equal and len(own.seeds) == len(task.seeds)

    def set_seeds(self, task: Task) -> None:
        """Train this task, which fits, from now on."""

        self._task = task
        self._training_step.batches.set_task(task)

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
                end = min(stop, (epoch + 1) * self._task.steps_per_epoch)
                self._train(end - step)
                if end % self._task.steps_per_epoch == 0 and end < self._task.steps:
                    self._training_step.batches.draw_ahead(epoch + 1)
                self._task.on_step(step, None)
            losses, correct = (values[:, :stop - start].clone() for values in (self._losses, self._correct))
            start = stop
            yield Segment(self._training_step.state(stop), losses, correct)

    def _epoch_starts(self, start: int, stop: int) -> list[int]:
        """`start` and the first step of every epoch that starts between it and `stop`."""

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
        """Graphs by their number of steps, the largest first. `load` replaces what the warm-up has trained."""

        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._warm_up()
        torch.cuda.current_stream().wait_stream(stream)
        return {size: self._captured_graph(size) for size in self._graph_sizes()}

    def _warm_up(self) -> None:
        """Run some steps without a capture, which compiles what is compiled."""

        with precision_context(self._task), warnings.catch_warnings():
            # Capturable optimizers warn when they step outside a capture.
            warnings.simplefilter('ignore', UserWarning)
            versions = []
            for _ in range(_WARMUP_STEPS):
                self._counters.zero_()
                self._run_step()
                versions.append(count_compiled())
        # Python code is not part of a captured graph.
        if versions[0] != versions[-1]:
            raise torch._dynamo.exc.TorchDynamoException('its code changes its own state in each step')

    def _graph_sizes(self) -> tuple[int, ...]:
        small = self._training_step.learned.numel() < _SMALL
        long = min(self._task.steps, self._task.steps_per_epoch) >= _STEPS_PER_GRAPH
        return (_STEPS_PER_GRAPH, 1) if small and long else (1,)

    def _captured_graph(self, size: int) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with precision_context(self._task), torch.cuda.graph(graph):
            for _ in range(size):
                self._run_step()
        self._training_step.optimizer.after_capture()
        # A capture on a wrong stream or device is empty, and training with it would silently do nothing.
        self._counters.zero_()
        graph.replay()
        counts = self._counters.flatten().tolist()
        if counts != [size] * 3:
            raise RuntimeError(f'a captured graph of {size} steps counted {counts}')
        return graph
