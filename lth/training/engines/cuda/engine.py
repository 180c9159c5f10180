"""The CUDA engine: a complete training step is captured as a CUDA graph and replayed, without decisions on the host.

Step counters, the order of images, learning rates, losses and numbers of correct predictions are tensors on the device:
the host waits only where training is measured. Forward and backward pass can be compiled. `CapturedStep` also runs
without a GPU, then step by step and without a capture: so it is tested, and so a CPU trains compiled networks.
"""
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines.cuda.compilation import count_compiled, describe_failure
from lth.training.engines.cuda.evaluation import CapturedEvaluation
from lth.training.engines.cuda.memory_estimate import replicates_that_fit
from lth.training.engines.cuda.packed import Packing, make_packing
from lth.training.engines.cuda.parts import compiled_parts, dense_layers, step_parts
from lth.training.engines.devices import current_device
from lth.training.engines.eager import Eager
from lth.training.engines.names import ReplicateChoice
from lth.training.engines.precision import precision_context
from lth.training.engines.step import StepParts, TrainingStep
from lth.training.task import Parametrization, Segment, State, Task

# pylint: disable=protected-access # torch has no public names for these functions

_WARMUP_STEPS = 3
# A step of a smaller network takes less time than the launch of a graph, so one graph holds several steps.
_SMALL, _STEPS_PER_GRAPH = 2_000_000, 10

# The largest number of replicates that train together: dense networks as one stack, others as parallel branches, of
# which eight keep an H100 busy (a prototype there had 2.0 times the throughput with eight, 1.6 times with four).
_STACK, _BRANCHES = 64, 8


class CudaGraph:
    """Captured steps on one GPU, of a compiled network if `compiles`; compiled steps without a capture on a CPU.

    A captured step is kept as long as tasks that differ only in their seeds are trained. A network that cannot be
    compiled is an error if compiling is `required`; otherwise it is trained without, and `note` says why. `replicates`
    of convolutional networks are parallel branches, or stacked: one kernel for each convolution of all.
    """

    def __init__(
            self, device: torch.device, *, compiles: bool = False, required: bool = False,
            replicates: ReplicateChoice = 'branches') -> None:
        self.device = device
        self._replicates = replicates
        self.compiles, self.note = compiles, ''
        self._required = required
        self._captured: CapturedStep | None = None
        self._eager: Eager | None = None  # trains what can be neither compiled nor captured
        evaluation = CapturedEvaluation()
        self.evaluate = evaluation.evaluate
        self.reestimate_batch_norm = evaluation.reestimate_batch_norm

    @property
    def name(self) -> str:
        """The name that runs record."""

        if self._eager:
            return self._eager.name
        parts = {'cuda-graph': self.device.type == 'cuda', 'compiled': self.compiles,
                 'stacked': self._replicates == 'stacked'}
        return ', '.join(part for part, applies in parts.items() if applies)

    def replicates(self, network: Network, training: TrainingSettings) -> int:
        """Return how many replicates of a network are trained together: at most as fit into the GPU's memory."""

        if self.device.type == 'cpu':
            return 1
        most = _STACK if network.stackable else _BRANCHES
        return max(1, min(most, replicates_that_fit(network, training, self.device)))

    def run(
            self, task: Task, state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Train from the state and yield a segment at each stop."""

        packing = None if parametrization or dense_layers(task) is None else make_packing(state, trainable)
        step = self._step(task, state, parametrization, packing)
        if step is None:
            assert self._eager
            yield from self._eager.run(
                task, state, trainable=trainable, stops=stops, parametrization=parametrization)
            return
        for segment in step.run(state, trainable=trainable, stops=stops):
            yield segment._replace(state=replace(segment.state, engine=self.name))

    def prepare(self, task: Task, state: State) -> None:
        """Compile and capture a task's step, which takes up to a minute, before the first step is needed."""

        self._step(task, state, None, None)

    def _step(
            self, task: Task, state: State, parametrization: Parametrization | None, packing: Packing | None,
    ) -> 'CapturedStep | None':
        """Return the captured step of a task, the last one if it fits; None if the eager engine has to train it."""

        if packing is None and self._captured and self._captured.fits(task, parametrization):
            self._captured.set_seeds(task)
            return self._captured
        self._captured = None  # frees the memory of the old graph before the new one allocates its own
        if self.compiles:
            self._captured = self._compiled_step(task, state, parametrization, packing)
        if self._captured is None and self._eager is None:
            self._captured = CapturedStep(task, state, parametrization, packing, step_parts(task, self._replicates))
        return self._captured

    def _compiled_step(
            self, task: Task, state: State, parametrization: Parametrization | None, packing: Packing | None,
    ) -> 'CapturedStep | None':
        """Return the captured step of a compiled network; None if it cannot be compiled, from then on."""

        if task.network.has_user_code:
            torch.compiler.reset()  # versions compiled before would hide that the code changes its own state
        try:
            return CapturedStep(task, state, parametrization, packing, compiled_parts(task, self._replicates))
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = describe_failure(task.network, error)
        if self._required:
            raise LthError(f'--compile on: {reason}. Change that layer, or use --compile off.')
        self.compiles, self.note = False, f'It is trained without compiling: {reason}.'
        if self.device.type == 'cpu' or task.network.has_user_code:
            self._eager = Eager(self.device)
        return None


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
