"""Random tickets, small convolutional networks, and comparisons of the sparse engine with the eager engine."""
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.training.engines import select
from lth.training.engines.chains import Chain, supported_chain
from lth.training.state import Segment, State
from lth.training.task import Engine, Task
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task

SPARSE = select.SparseCpu(torch.device('cpu'), always=True)
# With the default epsilon of 1e-8, a gradient that is only rounding error is divided by itself. Then single weights of
# the eager engine, too, are 1e-5 off in single precision.
STEADY_ADAM = ADAM | {'epsilon': 1e-5}
OPTIMIZERS = {
    'adam': STEADY_ADAM, 'adam+decay': STEADY_ADAM | {'weight_decay': 0.01},
    'adamw': STEADY_ADAM | {'name': 'adamw', 'weight_decay': 0.1}, 'sgd': {'name': 'sgd', 'learning_rate': 0.1},
    'momentum': SGD, 'nesterov': SGD | {'nesterov': True}}


def conv_task(task: Task, *layers: tuple[int, int, int, bool], width: int = 6, bias: bool = True) -> Task:
    """The task with convolutions, each (channels, kernel size, padding, pooled), then two dense layers."""

    torch.manual_seed(0)
    channels, modules = task.data.shape[0], list[nn.Module]()
    for outputs, kernel_size, padding, pooled in layers:
        modules += [nn.Conv2d(channels, outputs, kernel_size, padding=padding, bias=bias), nn.ReLU()]
        modules += [nn.MaxPool2d(2)] if pooled else []
        channels = outputs
    features = nn.Sequential(*modules)(torch.zeros(1, *task.data.shape)).numel()
    module = nn.Sequential(*modules, nn.Flatten(), nn.Linear(features, width), nn.ReLU(), nn.Linear(width, 4)).eval()
    return replace(task, network=Network(module, Layout.of(module), task.data.shape, 4, task.network.settings))


def small_conv_2(**settings: Any) -> Task:
    """Two convolutions, then a pool, as in Conv-2."""

    return conv_task(make_task(**settings), (4, 3, 1, False), (5, 3, 1, True))


def chain_of(*modules: nn.Module) -> Chain | None:
    """The chain that is recognized in a sequence of modules, None if it is not supported."""

    module = nn.Sequential(*modules)
    return supported_chain(replace(make_task().network, module=module, layout=Layout.of(module)))


def start_of(task: Task) -> State:
    """The initial state; of a module made by a test, not by the model registry, with the module's own weights."""

    if 'dense1' in dict(task.network.module.named_modules()):
        return initial_state(task)
    parameters = {name: parameter.detach() for name, parameter in task.network.module.named_parameters()}
    return State(task.network.layout.pack(parameters).expand(len(task.seeds), -1).clone(), {})


def random_ticket(task: Task, density: float) -> tuple[State, Tensor]:
    """A state whose pruned weights are 0, and its mask (R, N), which keeps a random share of the prunable weights."""

    state, mask = start_of(task), full_mask(task)
    random = torch.Generator().manual_seed(5)
    prunable = task.network.layout.prunable_count
    mask[:, :prunable] = torch.rand(len(mask), prunable, generator=random) < density
    return replace(state, weights=torch.where(mask, state.weights, 0.)), mask


def train_to(task: Task, state: State, mask: Tensor, *stops: int, engine: Engine = SPARSE) -> State:
    """The state after the last stop."""

    return last_segment(task, state, mask, *stops, engine=engine).state


def last_segment(task: Task, state: State, mask: Tensor, *stops: int, engine: Engine = SPARSE) -> Segment:
    """The segment up to the last stop."""

    return list(engine.run(task, state, trainable=mask, stops=stops))[-1]


def in_float64(state: State) -> State:
    """The state with weights in double precision."""

    return replace(state, weights=state.weights.double())


def max_error(task: Task, density: float, steps: int = 20) -> float:
    """The largest difference of a weight between the sparse engine and the eager engine in double precision."""

    state, mask = random_ticket(task, density)
    sparse = last_segment(task, state, mask, steps)
    eager = last_segment(task, in_float64(state), mask, steps, engine=CPU)
    assert sparse.state.engine == 'sparse' and eager.state.engine == 'eager'
    assert torch.allclose(sparse.losses.double(), eager.losses.double(), atol=1e-5)
    assert torch.equal(sparse.correct, eager.correct)
    return float((sparse.state.weights - eager.state.weights).abs().max())
