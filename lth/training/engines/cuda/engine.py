"""The CUDA engine: a complete training step is captured as a CUDA graph and replayed, without decisions on the host.

captured_step.py captures and replays, parts.py says what a step is made of, evaluation.py measures.
"""
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines.batch_gradient import batch_gradient
from lth.training.engines.cuda.captured_step import CapturedStep
from lth.training.engines.cuda.compilation import describe_failure
from lth.training.engines.cuda.evaluation import CapturedEvaluation
from lth.training.engines.cuda.memory_estimate import replicates_that_fit
from lth.training.engines.cuda.parts import compiled_parts, dense_layers, step_parts
from lth.training.engines.eager import Eager
from lth.training.engines.names import ReplicateChoice
from lth.training.engines.packed import Packing, make_packing
from lth.training.state import BatchGradient, Segment, State
from lth.training.task import Parametrization, Task

# pylint: disable=protected-access # torch has no public names for these functions

# The largest number of replicates that train together: dense networks as one stack, others as parallel branches, of
# which eight keep an H100 busy (a prototype there had 2.0 times the throughput with eight, 1.6 times with four).
_STACK, _BRANCHES = 64, 8


def most_replicates(network: Network) -> int:
    """How many replicates of a network train together on a GPU with enough memory."""

    return _STACK if network.stackable else _BRANCHES


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
        """How many replicates of a network are trained together: at most as fit into the GPU's memory."""

        if self.device.type == 'cpu':
            return 1
        return max(1, min(most_replicates(network), replicates_that_fit(network, training, self.device)))

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

    def gradient(self, task: Task, state: State) -> BatchGradient:
        """The gradient of the batch of the iteration `state.step`, for all weights of the state. It is neither
        captured nor compiled.
        """

        return batch_gradient(task, state)

    def prepare(self, task: Task, state: State) -> None:
        """Compile and capture a task's step, which takes up to a minute, before the first step is needed."""

        self._step(task, state, None, None)

    def _step(
            self, task: Task, state: State, parametrization: Parametrization | None, packing: Packing | None,
    ) -> CapturedStep | None:
        """The captured step of a task, the last one if it fits; None if the eager engine has to train it, as a
        task that draws new random numbers in every step: a graph would repeat those of its capture.
        """

        if task.training.aws:
            self._eager = Eager(self.device)
            return None
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
    ) -> CapturedStep | None:
        """The captured step of a compiled network; None if it cannot be compiled, from then on."""

        if task.network.has_user_code:
            torch.compiler.reset()  # versions compiled before would hide that the code changes its own state
        try:
            return CapturedStep(task, state, parametrization, packing, compiled_parts(task, self._replicates))
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = describe_failure(task.network, error)
        if self._required:
            raise LthError(f'--compile on: {reason}. Fix that, or use --compile off.')
        self.compiles, self.note = False, f'It is trained without compiling: {reason}.'
        if self.device.type == 'cpu' or task.network.has_user_code:
            self._eager = Eager(self.device)
        return None
