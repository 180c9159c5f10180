"""Compiled networks: against the eager engine, the rule that decides, and what cannot be compiled."""
from dataclasses import replace

import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.training.engines import backward
from lth.training.engines.cuda import compilation, compile_rule, parts
from lth.training.engines.cuda.compile_rule import compiling_pays, decide_compilation, expected_saving, expected_seconds
from lth.training.engines.cuda.engine import CudaGraph
from lth.training.engines.network_size import NetworkSize, network_size
from lth.training.state import State
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task

AUGMENTED = {'crop': 2, 'flip': True, 'normalization': 'standardize'}


@pytest.fixture(autouse=True)
def traced_only(monkeypatch):
    """The same path without a C++ compiler: traced and differentiated ahead of time, then run by torch's kernels."""

    monkeypatch.setattr(parts, 'compiled', lambda function: compilation.compiled(function, 'aot_eager'))


def compiled_engine(*, required=False):
    return CudaGraph(CPU.device, compiles=True, required=required)


@pytest.mark.parametrize(('model', 'shape', 'seeds', 'optimizer'), [
    ('lenet-300-100', (1, 8, 8), (0,), ADAM), ('conv-2', (3, 8, 8), (0, 1), SGD),
    pytest.param('resnet20', (3, 8, 8), (0, 1), SGD, marks=pytest.mark.slow)])
def test_a_compiled_network_trains_as_each_seed_does_alone_in_the_eager_engine(
        monkeypatch, model, shape, seeds, optimizer):
    # Compiled code has torch's BatchNorm, which is less exact than that of the eager engine.
    monkeypatch.setattr(backward, 'use_exact_batch_norm', lambda module: None)
    task = make_task(model, shape=shape, seeds=seeds, data=AUGMENTED, optimizer=optimizer, engine=compiled_engine())
    start, trainable = initial_state(task), full_mask(task)
    trainable[:, :task.network.layout.prunable_count:2] = False
    segments = list(task.engine.run(task, start, trainable=trainable, stops=[2, 7]))
    assert [segment.state.engine for segment in segments] == ['compiled', 'compiled']
    for row, seed in enumerate(seeds):
        alone = replace(task, seeds=(seed,), engine=CPU)
        expected = list(CPU.run(alone, initial_state(alone), trainable=trainable[row:row + 1], stops=[2, 7]))
        # Rounding of BatchNorm grows from step to step.
        for segment, eager, tolerance in zip(segments, expected, (1e-5, 1e-3 if model == 'resnet20' else 1e-5)):
            assert torch.allclose(segment.state.weights[row], eager.state.weights[0], atol=tolerance)
            assert torch.allclose(segment.losses[row], eager.losses[0], atol=tolerance)
            for name, buffer in eager.state.buffers.items():
                assert torch.allclose(segment.state.buffers[name][row], buffer[0], atol=10 * tolerance), name


def test_a_network_is_compiled_once_for_all_rounds_and_seeds(monkeypatch):
    calls = []

    def backend(graph, _inputs):
        calls.append(graph)
        return graph.forward

    monkeypatch.setattr(parts, 'compiled', lambda function: compilation.compiled(function, backend))
    task = make_task('conv-2', shape=(3, 8, 8), seeds=(0, 1), engine=compiled_engine())
    for seeds in ((0, 1), (2, 3), (4,)):
        part = replace(task, seeds=seeds)
        list(task.engine.run(part, initial_state(part), trainable=full_mask(part), stops=[2]))
    assert len(calls) == 1


@pytest.mark.parametrize(('model', 'shape'), [
    pytest.param('conv-2', (3, 8, 8), marks=pytest.mark.slow),
    pytest.param('resnet20', (3, 8, 8), marks=pytest.mark.long)])
def test_machine_code_of_the_compiler_trains_as_the_eager_engine(monkeypatch, model, shape):
    monkeypatch.setattr(parts, 'compiled', compilation.compiled)
    task = make_task(model, shape=shape, data=AUGMENTED, optimizer=SGD, engine=compiled_engine())
    segment, = task.engine.run(task, initial_state(task), trainable=full_mask(task), stops=[4])
    expected, = CPU.run(task, initial_state(task), trainable=full_mask(task), stops=[4])
    assert torch.allclose(segment.losses, expected.losses, atol=1e-4)


class ReadsAValue(nn.Module):
    """A layer whose result depends on a number that is read by the host."""

    def forward(self, inputs):
        """Twice the inputs if their sum is positive."""

        return inputs * 2 if inputs.sum().item() > 0 else inputs


class CountsCalls(nn.Module):
    """A layer that changes in every step."""

    calls = 0

    def forward(self, inputs):
        """The inputs times the number of calls."""

        self.calls += 1
        return inputs * self.calls


def task_with(layer, engine):
    """A task whose network contains the layer, and its initial state."""

    task = make_task(shape=(3, 8, 8), engine=engine)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), layer), nn.Flatten(), nn.Linear(144, 4)).eval()
    network = Network(module, Layout.of(module), (3, 8, 8), 4, task.network.settings)
    weights = network.layout.pack({name: value.detach() for name, value in module.named_parameters()})
    return replace(task, network=network), State(weights[None], {})


@pytest.mark.parametrize(('layer', 'words'), [
    (ReadsAValue(), r'the layer 1\.1 \(ReadsAValue\) of lenet-300-100 cannot be compiled: .'),
    (CountsCalls(), 'lenet-300-100 cannot be compiled: its code changes its own state in each step')])
def test_what_cannot_be_compiled_is_trained_without_unless_that_is_required(layer, words):
    task, start = task_with(layer, compiled_engine())
    segment, = task.engine.run(task, start, trainable=full_mask(task), stops=[2])
    assert segment.state.engine == task.engine.name == 'eager'
    assert task.engine.note.startswith('It is trained without compiling: ')
    torch.compiler.reset()
    task, start = task_with(layer, compiled_engine(required=True))
    with pytest.raises(LthError, match=f'^--compile on: {words}'):
        list(task.engine.run(task, start, trainable=full_mask(task), stops=[2]))


def test_the_layer_that_cannot_be_compiled_is_found_among_many():
    widths = [*range(4, 15), 4]
    layers = [nn.Conv2d(*channels, 1) for channels in zip(widths, widths[1:])]
    task, _ = task_with(nn.Sequential(*layers, ReadsAValue()), compiled_engine())
    assert 'the layer 1.1.11 (ReadsAValue) of' in compilation.describe_failure(task.network, ValueError('x'))


def test_the_rule_compares_the_time_saved_with_twice_the_time_of_compiling():
    task = make_task('resnet20', shape=(3, 32, 32), batch_size=128, precision='bf16', images=200)
    size = network_size(task.network)
    # 22 layers, 401,412 values for an image: 0.019 · 22 + 0.001 · 102.76 ms a step against 42 + 1.05 · 22 s.
    assert size == (22, 401_412) and expected_saving(size, task.training) == pytest.approx(0.52076, abs=1e-5)
    assert expected_seconds(size) == pytest.approx(65.1)
    steps = round(2 * 65.1 / 0.00052076)
    assert not compiling_pays(task.network, task.training, steps=steps - 500)
    assert compiling_pays(task.network, task.training, steps=steps + 500)
    assert compiling_pays(task.network, task.training, steps=steps // 2, replicates=8)


def test_larger_activations_and_more_layers_save_more_and_replicates_count():
    task = make_task()
    small, deep, wide = NetworkSize(3, 410), NetworkSize(30, 410), NetworkSize(3, 10 ** 6)
    saving = [expected_saving(size, task.training) for size in (small, deep, wide)]
    assert saving[0] < min(saving[1:])
    assert expected_saving(wide, task.training, replicates=4) > saving[2]


def test_a_run_is_compiled_by_the_rule_on_a_gpu_only(gpus, monkeypatch):
    gpus.install(1)
    monkeypatch.setattr(compile_rule, 'compiler_obstacle', lambda _device: None)
    task = make_task()
    network, training = task.network, task.training

    def decision(device, choice, *, steps, obstacle=None):
        return decide_compilation(device, choice, network, training, steps=steps, obstacle=obstacle).decision

    assert decision('cuda', 'auto', steps=10 ** 9) == 'if-possible'
    assert decision('cuda', 'auto', steps=10) == decision('cpu', 'auto', steps=10 ** 9) == 'off'
    assert decision('cuda', 'auto', steps=10 ** 9, obstacle='it is streamed') == 'off'
    assert decision('cpu', 'on', steps=1) == 'on' and decision('cuda', 'off', steps=10 ** 9) == 'off'
    with pytest.raises(LthError, match='--compile on: this run cannot be compiled: it is streamed. Use --compile off.'):
        decision('cpu', 'on', steps=1, obstacle='it is streamed')


def test_a_machine_without_a_compiler_says_so(gpus, monkeypatch):
    gpus.install(1)
    monkeypatch.setattr(compilation.shutil, 'which', lambda _name: None)
    task = make_task()
    decided = decide_compilation('cuda', 'auto', task.network, task.training, steps=10 ** 9)
    assert decided.decision == 'off' and 'this machine has no C++ compiler (g++' in decided.note
    with pytest.raises(LthError, match='no C\\+\\+ compiler'):
        decide_compilation('cpu', 'on', task.network, task.training, steps=1)


def test_a_corrupt_cache_of_compiled_code_is_named_instead_of_a_layer(monkeypatch):
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', '/cache')
    reason = compilation.describe_failure(make_task().network, RuntimeError('Failed to import /cache/c5/x.py'))
    assert 'the cache /cache of compiled code is corrupt or cannot be written, and has to be deleted' in reason
