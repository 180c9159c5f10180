"""Which engine trains a recipe on a device, and what follows from that choice. All functions here are queries."""
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from lth.errors import LthError
from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines.cuda.compile_rule import Compilation, decide_compilation
from lth.training.engines.cuda.engine import CudaGraph, most_replicates
from lth.training.engines.device_failures import explain_failures, explain_training_failures
from lth.training.engines.devices import gpu_failure, gpu_names, resolve_device
from lth.training.engines.distributed.ranks import Ranks, current as current_ranks
from lth.training.engines.distributed.selection import select_distributed_engine
from lth.training.engines.eager import Eager
from lth.training.engines.names import CompileDecision, EngineChoice, ReplicateChoice
from lth.training.engines.precision import default_precision, precision_note, refuse_unsupported_precision
from lth.training.engines.process_settings import configure_process, make_deterministic
from lth.training.engines.sparse_cpu.engine import SparseCpu
from lth.training.engines.sparse_cpu.prepared import compile_kernels
from lth.training.engines.sparse_cpu.rule import sparse_obstacle
from lth.training.state import State
from lth.training.task import Engine, Task

# Kernels in numba's cache load in 0.2 s.
_SECONDS_UNTIL_MESSAGE = 1.

# What the layers above use of this package.
__all__ = [
    'Compilation', 'CudaGraph', 'Eager', 'Ranks', 'SparseCpu', 'compile_ahead', 'configure_process', 'current_ranks',
    'decide_compilation', 'default_precision', 'explain_failures', 'explain_training_failures', 'gpu_failure',
    'gpu_names', 'make_deterministic', 'most_replicates', 'precision_note', 'refuse_unsupported_precision',
    'replicate_groups', 'resolve_device', 'select_distributed_engine', 'select_engine', 'sparse_obstacle']


def select_engine(
        device: str, *, choice: EngineChoice = 'auto', capturable: bool = True,
        obstacle: str | None = 'it is not known what is trained', compilation: CompileDecision = 'off',
        replicates: ReplicateChoice = 'branches') -> Engine:
    """The fastest engine for a device, or the engine of `choice`.

    A step is `capturable` if it needs nothing from the host: no noise that is seeded for each step, no images that are
    streamed. `obstacle` says why the sparse engine cannot train the recipe, None if it can (`sparse_obstacle`). Raises
    LthError for an unknown device, and if the chosen engine cannot train the recipe. Changes nothing in the process:
    see `process_settings.configure_process`. With a `compilation` other than `off` it is an engine that compiles;
    `replicates` is for engines on a GPU.
    """

    resolved = resolve_device(device)
    if resolved.type == 'cuda':
        obstacle = 'it runs on the CPU'
    if compilation != 'off':
        _refuse_other_engine(choice)
        return CudaGraph(resolved, compiles=True, required=compilation == 'on', replicates=replicates)
    if choice == 'sparse' and obstacle:
        raise LthError(f'The sparse engine cannot train this recipe: {obstacle}. Use --engine auto.')
    if choice != 'eager' and obstacle is None:
        return SparseCpu(resolved, always=choice == 'sparse')
    captured = resolved.type == 'cuda' and capturable and choice != 'eager'
    return CudaGraph(resolved, replicates=replicates) if captured else Eager(resolved)


def _refuse_other_engine(choice: EngineChoice) -> None:
    if choice != 'auto':
        raise LthError(f'--engine {choice} compiles no network. Use --engine auto, or --compile off.')


def compile_ahead(
        task: Task, start: State, kept: Sequence[int], on_message: Callable[[str], None]) -> None:
    """Compile what the task's engine needs to train networks with these numbers of remaining weights, from `start`.

    Reports a message if that takes longer than a second, as it does the first time on a machine, and a note if the
    network cannot be compiled.
    """

    engine, name = task.engine, task.network.settings.name
    if isinstance(engine, CudaGraph) and engine.compiles:
        with _message_after(on_message, f'Compiling {name}. This can take a minute the first time on a machine.'):
            engine.prepare(task, start)
        if engine.note:
            on_message(engine.note)
    elif isinstance(engine, SparseCpu):
        if any(engine.expects(task.network, count, task.training.batch_size) for count in kept):
            with _message_after(on_message, 'Compiling the sparse engine, or loading it if it was compiled on this '
                                'machine before.'):
                compile_kernels()


@contextlib.contextmanager
def _message_after(on_message: Callable[[str], None], message: str) -> Iterator[None]:
    """Report a message if a block takes longer than a second."""

    timer = threading.Timer(_SECONDS_UNTIL_MESSAGE, on_message, [message])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def replicate_groups(
        engine: Engine, network: Network, training: TrainingSettings, seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """The seeds that train together: as many as the engine trains at once and as fit into the GPU's memory.

    A seed that is not expected to fit alone is tried nevertheless.
    """

    size = engine.replicates(network, training)
    return [tuple(seeds[start:start + size]) for start in range(0, len(seeds), size)]
