"""Whether a network is compiled: a fixed rule of the run's steps and the network's size, never a timing.

docs/performance.md has the measurements to which the constants were fitted.
"""
from typing import NamedTuple

from lth.errors import LthError
from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines.cuda.compilation import compiler_obstacle
from lth.training.engines.devices import resolve_device
from lth.training.engines.names import CompileChoice, CompileDecision
from lth.training.engines.network_size import NetworkSize, network_size

# Fitted to six networks on an H100, with small relative errors: milliseconds saved in each step, for each layer and for
# each million bytes of activations.
_SAVED_PER_LAYER, _SAVED_PER_MEGABYTE = 0.019, 0.001
# Seconds of a first compilation: 45 for 3 layers, 65 for 22.
_SECONDS, _SECONDS_PER_LAYER = 42., 1.05
# Expectations may be wrong by a factor of two.
_MARGIN = 2


class Compilation(NamedTuple):
    """Whether a run's network is compiled; `note` is a sentence for the user, '' if there is nothing to say."""

    decision: CompileDecision = 'off'
    note: str = ''


def decide_compilation(
        device: str, choice: CompileChoice | CompileDecision, network: Network, training: TrainingSettings, *,
        steps: int, obstacle: str | None = None) -> Compilation:
    """Whether to compile a network that is trained for `steps` steps in all rounds and seeds of a run.

    `auto` compiles on a GPU where the rule expects that to pay. `obstacle` says why the recipe cannot be compiled, None
    if it can. Raises LthError if compiling is required (`on`) and there is an obstacle.
    """

    resolved = resolve_device(device)
    worthwhile = resolved.type == 'cuda' and not obstacle
    if choice == 'auto' and worthwhile and compiling_pays(network, training, steps=steps):
        choice = 'if-possible'
    if choice in ('auto', 'off'):
        return Compilation()
    obstacle = obstacle or compiler_obstacle(resolved)
    if obstacle is None:
        return Compilation('on' if choice == 'on' else 'if-possible')
    if choice == 'on':
        raise LthError(f'--compile on: this run cannot be compiled: {obstacle}. Use --compile off.')
    return Compilation('off', f'The network is not compiled: {obstacle}.')


def compiling_pays(network: Network, training: TrainingSettings, *, steps: int, replicates: int = 1) -> bool:
    """Whether `steps` steps of all replicates together are expected to save twice the time of compiling."""

    size = network_size(network)
    saved = steps * expected_saving(size, training, replicates=replicates) / 1000
    return saved > _MARGIN * expected_seconds(size)


def expected_saving(size: NetworkSize, training: TrainingSettings, *, replicates: int = 1) -> float:
    """The milliseconds that a step of a compiled network is expected to save on a GPU."""

    width = 2 if training.precision == 'bf16' else 4
    megabytes = size.activations * training.batch_size * width * replicates / 1e6
    return _SAVED_PER_LAYER * size.layers + _SAVED_PER_MEGABYTE * megabytes


def expected_seconds(size: NetworkSize) -> float:
    """The seconds that the first compilation of a network is expected to take on a GPU machine."""

    return _SECONDS + _SECONDS_PER_LAYER * size.layers
