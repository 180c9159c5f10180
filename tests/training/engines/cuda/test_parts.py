"""Every pass and optimizer of the CUDA engine, on the CPU, against each seed alone in the eager engine."""
from dataclasses import replace

import pytest
import torch
from torch import nn

from lth.algorithms.trained_masks.parametrizations import Rounded
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.training.engines import packed
from lth.training.engines.cuda import compilation, parts
from lth.training.engines.cuda import engine as cuda_engine
from lth.training.engines.cuda.branches import make_branches
from lth.training.engines.cuda.engine import CudaGraph
from lth.training.state import State
from tests.conftest import ADAM, CPU, SGD, make_task, mlp_task

AUGMENTED = {'crop': 1, 'flip': True, 'normalization': 'standardize'}


@pytest.fixture(autouse=True)
def fused_and_traced(interpreted_kernels, monkeypatch):
    """Triton's interpreter, and torch.compile without its code generator."""

    del interpreted_kernels
    monkeypatch.setattr(parts, 'compiled', lambda function: compilation.compiled(function, 'aot_eager'))


def dense_task(**settings):
    """A task with a network of dense layers."""

    return mlp_task(make_task(shape=(1, 4, 4), data=AUGMENTED, **settings), 10)


def conv_task(**settings):
    """A task with a network of a convolution, BatchNorm and a dense layer."""

    task = make_task(shape=(3, 4, 4), data=AUGMENTED, **settings)
    torch.manual_seed(0)
    # Before BatchNorm the gradient of a bias is rounding noise, which Adam would enlarge.
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    module = nn.Sequential(convolution, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)).eval()
    return replace(task, network=Network(module, Layout.of(module), (3, 4, 4), 4, task.network.settings))


def random_state(task):
    """Random weights, different for each replicate, and a mask (R, N)."""

    random = torch.Generator().manual_seed(0)
    weights = torch.randn(len(task.seeds), task.network.layout.size, generator=random) * 0.3
    buffers = {name: buffer.expand(len(weights), *buffer.shape).clone()
               for name, buffer in task.network.module.named_buffers()}
    return State(weights, buffers), torch.rand(weights.shape, generator=random) < 0.7


def alone(task, state, trainable, row, *, steps):
    """The state of one replicate after training alone in the eager engine."""

    task = replace(task, seeds=task.seeds[row:row + 1], engine=CPU)
    part = slice(row, row + 1)
    start = State(state.weights[part], {name: buffer[part] for name, buffer in state.buffers.items()})
    segment, = CPU.run(task, start, trainable=trainable[part], stops=[steps])
    return segment.state


@pytest.mark.parametrize('compiles', [False, True])
@pytest.mark.parametrize(('task', 'seeds', 'optimizer', 'precision'), [
    (dense_task, (0,), ADAM, 'fp32'), (dense_task, (0, 1), SGD, 'fp32'), (dense_task, (0, 1), ADAM, 'bf16'),
    (conv_task, (0, 1, 2), ADAM, 'fp32'), (conv_task, (0, 1), SGD, 'bf16')])
def test_replicates_train_as_alone_in_the_eager_engine(task, seeds, optimizer, precision, compiles):
    engine = CudaGraph(CPU.device, compiles=compiles, required=compiles)
    task = task(seeds=seeds, optimizer=optimizer, precision=precision, engine=engine)
    start, trainable = random_state(task)
    segment, = engine.run(task, start, trainable=trainable, stops=[4])
    tolerance = 1e-5 if precision == 'fp32' else 2e-2
    for row in range(len(seeds)):
        expected = alone(task, start, trainable, row, steps=4)
        assert torch.allclose(segment.state.weights[row], expected.weights[0], atol=tolerance)
        for name, buffer in expected.buffers.items():
            assert torch.allclose(segment.state.buffers[name][row], buffer[0], atol=tolerance), name
    assert torch.equal(segment.state.weights[~trainable], start.weights[~trainable])


@pytest.mark.parametrize(('optimizer', 'precision'), [(ADAM, 'fp32'), (SGD, 'bf16')])
def test_stacked_convolutions_train_as_each_seed_alone_in_the_eager_engine(optimizer, precision):
    engine = CudaGraph(CPU.device, replicates='stacked')
    task = conv_task(seeds=(0, 1), optimizer=optimizer, precision=precision, engine=engine)
    start, trainable = random_state(task)
    segment, = engine.run(task, start, trainable=trainable, stops=[3])
    assert segment.state.engine == 'stacked'
    for row in range(2):
        expected = alone(task, start, trainable, row, steps=3)
        # BatchNorm reads float32 here, and bf16 in the eager engine.
        atol = 1e-5 if precision == 'fp32' else 5e-2
        assert torch.allclose(segment.state.weights[row], expected.weights[0], atol=atol)
        for name, buffer in expected.buffers.items():
            assert torch.allclose(segment.state.buffers[name][row], buffer[0], atol=atol), name
    assert torch.equal(segment.state.weights[~trainable], start.weights[~trainable])


def test_one_replicate_alone_is_not_stacked():
    task = conv_task(seeds=(0,), engine=CudaGraph(CPU.device))
    assert parts.step_parts(task, 'stacked').backward.func is make_branches


def test_layers_read_a_copy_in_bf16_that_is_never_older_than_the_weights():
    engine = CudaGraph(CPU.device)
    task = conv_task(seeds=(0, 1), optimizer=SGD, precision='bf16', engine=engine)
    start, trainable = random_state(task)
    step = engine._step(task, start, None, None)._training_step
    copied = step._backward.copied
    assert copied.shape == (2, task.network.layout.weight_count)
    for steps in (1, 3):
        list(engine.run(task, start, trainable=trainable, stops=[steps]))
        assert torch.equal(copied, step.learned[:, :copied.shape[1]].bfloat16())


@pytest.mark.parametrize('compiles', [False, True])
@pytest.mark.parametrize(('task', 'precision'), [(dense_task, 'fp32'), (conv_task, 'fp32'), (conv_task, 'bf16')])
def test_scores_train_as_in_the_eager_engine_and_held_scores_keep_their_bits(task, precision, compiles):
    engine = CudaGraph(CPU.device, compiles=compiles, required=compiles)
    task = task(seeds=(0, 1), optimizer=ADAM, precision=precision, engine=engine)
    start, trainable = random_state(task)
    count = task.network.layout.prunable_count
    scores = replace(start, weights=torch.rand(2, count, generator=torch.Generator().manual_seed(1)))
    segment, = engine.run(task, scores, trainable=trainable[:, :count], stops=[4],
                          parametrization=Rounded(start.weights, Penalty(1e-3)))
    for row in range(2):
        part = slice(row, row + 1)
        one = replace(task, seeds=task.seeds[part], engine=CPU)
        first = State(scores.weights[part], {name: buffer[part] for name, buffer in scores.buffers.items()})
        expected, = CPU.run(one, first, trainable=trainable[part, :count], stops=[4],
                            parametrization=Rounded(start.weights[part], Penalty(1e-3)))
        atol = 1e-5 if precision == 'fp32' else 1e-2
        assert torch.allclose(segment.state.weights[row], expected.state.weights[0], atol=atol)
    held = ~trainable[:, :count]
    assert torch.equal(segment.state.weights[held], scores.weights[held])


@pytest.mark.parametrize('compiles', [False, True])
def test_packed_weights_train_as_all_weights(monkeypatch, compiles):
    monkeypatch.setattr(cuda_engine, 'make_packing', lambda *args: packed.make_packing(*args, min_pruned=1))
    engine = CudaGraph(CPU.device, compiles=compiles, required=compiles)
    task = dense_task(seeds=(0, 1), engine=engine)
    start, trainable = random_state(task)
    trainable[:] = True
    trainable[:, ::2] = False
    segment, = engine.run(task, start, trainable=trainable, stops=[4])
    for row in range(2):
        expected = alone(task, start, trainable, row, steps=4)
        assert torch.allclose(segment.state.weights[row], expected.weights[0], atol=1e-5)


def test_a_state_of_the_fused_optimizer_is_resumed_by_the_eager_engine():
    engine = CudaGraph(CPU.device)
    task = dense_task(seeds=(0,), optimizer=ADAM, engine=engine)
    start, trainable = random_state(task)
    half_way, = engine.run(task, start, trainable=trainable, stops=[4])
    resumed, = CPU.run(replace(task, engine=CPU), half_way.state, trainable=trainable, stops=[9])
    expected = alone(task, start, trainable, 0, steps=9)
    assert torch.allclose(resumed.state.weights, expected.weights, atol=1e-5)
