"""The step of the CUDA engine against the eager engine: without a GPU, with faked captures, and with real captures."""
import contextlib
import statistics
from dataclasses import replace

import pytest
import torch

from lth.algorithms.trained_masks.parametrizations import Rounded
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.training.engines import select
from lth.training.engines.cuda import captured_step
from lth.training.engines.cuda import engine as cuda_engine
from lth.training.engines.cuda.captured_step import CapturedStep
from lth.training.engines.cuda.engine import CudaGraph
from lth.training.engines.devices import resolve_device
from lth.training.engines.eager import Eager
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task

ADAMW = ADAM | {'name': 'adamw', 'weight_decay': 0.01}
AUGMENTED = {'crop': 2, 'flip': True, 'normalization': 'standardize'}
EVERY_MODEL = [('lenet-300-100', (1, 8, 8), (0, 1)), ('conv-2', (3, 8, 8), (0,)), ('resnet20', (3, 8, 8), (0,))]


def random_mask(task):
    return torch.rand(len(task.seeds), task.network.layout.size, generator=torch.Generator().manual_seed(0)) < 0.5


def assert_equal_segments(segments, expected, *, tolerance=1e-6):
    for segment, eager in zip(segments, expected, strict=True):
        assert torch.allclose(segment.state.weights, eager.state.weights, atol=tolerance)
        assert torch.allclose(segment.losses, eager.losses, atol=1e-5) and torch.equal(segment.correct, eager.correct)
        assert segment.state.step == eager.state.step


@pytest.mark.parametrize(('model', 'shape', 'seeds'), EVERY_MODEL)
@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=['adam', 'sgd'])
def test_the_captured_step_equals_the_eager_engine(model, shape, seeds, optimizer):
    schedule = {'name': 'multistep', 'milestones': ['4 iterations', '8 iterations'], 'factor': 0.5}
    task = make_task(
        model, shape=shape, seeds=seeds, data=AUGMENTED, optimizer=optimizer, schedule=schedule, warmup='3 iterations')
    start, trainable = initial_state(task), random_mask(task)
    segments = CapturedStep(task, start).run(start, trainable=trainable, stops=[3, 12])
    assert_equal_segments(segments, CPU.run(task, start, trainable=trainable, stops=[3, 12]))


@pytest.mark.parametrize('optimizer', [ADAM, ADAMW, SGD], ids=['adam', 'adamw', 'sgd'])
@pytest.mark.parametrize('seeds', [(0,), (0, 1)])
def test_the_captured_step_trains_a_parametrization_as_the_eager_engine_does(optimizer, seeds):
    task = make_task(seeds=seeds, optimizer=optimizer)
    start, count = initial_state(task), task.network.layout.prunable_count
    scores = replace(start, weights=torch.rand(len(seeds), count, generator=torch.Generator().manual_seed(1)))
    parametrization = Rounded(start.weights, Penalty(1e-3))
    full = torch.ones_like(scores.weights, dtype=torch.bool)
    segments = CapturedStep(task, scores, parametrization).run(scores, trainable=full, stops=[4, 9])
    expected = CPU.run(task, scores, trainable=full, stops=[4, 9], parametrization=parametrization)
    assert_equal_segments(segments, expected)


def test_a_captured_step_that_is_used_again_does_not_remember_the_training_before():
    task = make_task(optimizer=SGD)
    start, half = initial_state(task), full_mask(task)
    half[:, ::2] = False
    captured = CapturedStep(task, start)
    list(captured.run(start, trainable=full_mask(task), stops=[9]))
    (again,) = captured.run(start, trainable=half, stops=[7])
    (expected,) = CPU.run(task, start, trainable=half, stops=[7])
    assert torch.allclose(again.state.weights, expected.state.weights, atol=1e-6)
    assert torch.equal(again.state.weights[~half], start.weights[~half])


def test_a_state_of_the_captured_step_is_resumed_by_the_eager_engine():
    task = make_task(optimizer=ADAM)
    start, mask = initial_state(task), full_mask(task)
    task = replace(task, engine=CudaGraph(CPU.device, compiles=True))
    (half_way,) = task.engine.run(task, start, trainable=mask, stops=[7])
    assert half_way.state.engine == 'compiled'
    resumed, expected = (list(CPU.run(task, state, trainable=mask, stops=[12])) for state in (half_way.state, start))
    assert torch.allclose(resumed[0].state.weights, expected[0].state.weights, atol=1e-6)


def test_steps_are_captured_again_for_another_task_or_parametrization_only():
    engine = CudaGraph(torch.device('cpu'))
    task, other = make_task('conv-2', engine=engine), make_task('conv-2', engine=engine)
    start = initial_state(task)

    def captured(task, parametrization=None):
        state = replace(start, weights=torch.rand(1, task.network.layout.prunable_count)) if parametrization else start
        trainable = torch.ones_like(state.weights, dtype=torch.bool)
        list(engine.run(task, state, trainable=trainable, stops=[1], parametrization=parametrization))
        return engine._captured

    first, parametrization = captured(task), Rounded(start.weights, Penalty(0.))
    assert captured(task) is first
    scores = captured(task, parametrization)
    assert scores is not first and captured(task, parametrization) is scores
    assert captured(task) is not first and captured(other) is not captured(task)


def test_steps_of_packed_weights_are_captured_for_each_mask(monkeypatch):
    make_packing = cuda_engine.make_packing
    monkeypatch.setattr(cuda_engine, 'make_packing', lambda *args: make_packing(*args, min_pruned=1))
    engine = CudaGraph(torch.device('cpu'))
    task = make_task(engine=engine, seeds=(0, 1))
    start, steps = initial_state(task), []
    for first in (0, 1):
        trainable = full_mask(task)
        trainable[:, first:task.network.layout.prunable_count:2] = False
        segments = engine.run(task, start, trainable=trainable, stops=[5])
        assert_equal_segments(segments, CPU.run(task, start, trainable=trainable, stops=[5]))
        steps.append(engine._captured)
    assert steps[0] is not steps[1] and not steps[1].fits(task, None)


class RecordedStep(CapturedStep):
    """A captured step whose graphs count the steps that are captured, and repeat as many when they are replayed."""

    recording: 'FakeGraph | None' = None

    def _run_step(self):
        if self.recording is not None:
            self.recording.steps += 1  # kernels that are captured do not run
        else:
            super()._run_step()


class FakeGraph:
    """A CUDA graph on the CPU: replays the steps that were recorded."""

    replays: list[int] = []

    def __init__(self, step):
        self.step, self.steps = step, 0

    def replay(self):
        self.replays.append(self.steps)
        for _ in range(self.steps):
            CapturedStep._run_step(self.step)


@pytest.fixture
def capture(monkeypatch):
    """A function that captures a task's step with fake graphs; an `empty` capture records nothing."""

    def capture_step(task, state, *, empty=False):
        step = RecordedStep(task, state)

        @contextlib.contextmanager
        def graph_context(graph):
            step.recording = FakeGraph(step) if empty else graph
            yield
            step.recording = None

        class Stream:
            """A stream that needs no waiting."""

            def __init__(self, _device=None):
                pass

            def wait_stream(self, _other):
                """Does nothing."""

        monkeypatch.setattr(FakeGraph, 'replays', [])
        for name, fake in {'Stream': Stream, 'current_stream': Stream, 'CUDAGraph': lambda: FakeGraph(step),
                           'stream': lambda _stream: contextlib.nullcontext(), 'graph': graph_context}.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        step._graphs = step._capture()
        FakeGraph.replays.clear()
        return step
    return capture_step


def test_replayed_graphs_equal_the_eager_engine_after_a_warm_up(capture):
    # 14 steps an epoch, so that graphs of ten steps and of one are used, and an epoch begins between two stops.
    task = make_task(images=120, data=AUGMENTED, optimizer=ADAM)
    start, trainable = initial_state(task), random_mask(task)
    segments = list(capture(task, start).run(start, trainable=trainable, stops=[3, 28]))
    assert_equal_segments(segments, CPU.run(task, start, trainable=trainable, stops=[3, 28]))
    assert FakeGraph.replays == [1] * 3 + [10] + [1] + [10] + [1] * 4


@pytest.mark.parametrize(('length', 'sizes'), [('3 epochs', [10, 1]), ('9 iterations', [1])])
def test_graphs_hold_several_steps_only_if_a_training_is_that_long(capture, length, sizes):
    task = make_task(images=120, length=length)
    assert [*capture(task, initial_state(task))._graphs] == sizes


def test_graphs_of_large_networks_hold_one_step(capture, monkeypatch):
    monkeypatch.setattr(captured_step, '_SMALL', 1000)
    task = make_task(images=120)
    assert [*capture(task, initial_state(task))._graphs] == [1]


def test_an_empty_capture_is_an_error(capture):
    task = make_task(images=120)
    with pytest.raises(RuntimeError, match=r'a captured graph of 10 steps counted \[0, 0, 0\]'):
        capture(task, initial_state(task), empty=True)


def test_progress_is_reported_at_the_start_of_each_epoch():
    task, reported = make_task(), []
    watched = replace(task, on_step=lambda step, _measurement: reported.append(step))
    start = initial_state(task)
    list(CapturedStep(watched, start).run(start, trainable=full_mask(task), stops=[3, 12]))
    assert reported == [0, 3, 5, 10]


NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs an NVIDIA GPU')


@pytest.mark.parametrize(('device', 'steps'), [('cpu', 5), pytest.param('cuda', 28, marks=NEEDS_GPU)])
@pytest.mark.parametrize(('model', 'shape', 'seeds'), EVERY_MODEL)
@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=['adam', 'sgd'])
def test_each_captured_step_equals_an_eager_step_from_the_same_state(
        device, steps, model, shape, seeds, optimizer):
    # Over several steps rounding grows to any size: with weights changed by 1e-7, conv-2 differs by 0.25 of the way
    # that it has moved after 13 steps. In one step by 1e-6, rarely by 0.01, where a unit is active in one of them only.
    engine = CudaGraph(resolve_device(device))
    task = make_task(model, shape=shape, seeds=seeds, data=AUGMENTED, optimizer=optimizer, engine=engine, images=120)
    state, trainable, differences = initial_state(task), random_mask(task).to(engine.device), []
    for segment in engine.run(task, state, trainable=trainable, stops=range(1, steps + 1)):
        (eager,) = Eager(engine.device).run(task, state, trainable=trainable, stops=[state.step + 1])
        assert torch.allclose(segment.losses, eager.losses, rtol=1e-3)
        assert torch.equal(segment.state.weights[~trainable], state.weights[~trainable])
        moved, difference = eager.state.weights - state.weights, eager.state.weights - segment.state.weights
        differences.append(float(difference.norm() / moved.norm()))
        state = segment.state
    assert statistics.median(differences) < 3e-4 and max(differences) < 0.03


@pytest.fixture(name='_deterministic')
def deterministic_gpu():
    """cuDNN, cuBLAS and torch select algorithms that repeat, and none by measuring which is fastest."""

    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    select.make_deterministic(torch.device('cuda'))
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


@NEEDS_GPU
@pytest.mark.usefixtures('_deterministic')
@pytest.mark.parametrize(('model', 'shape', 'seeds'), EVERY_MODEL)
@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=['adam', 'sgd'])
def test_deterministic_runs_are_equal_bit_for_bit_also_in_graphs_of_several_steps(model, shape, seeds, optimizer):
    device, weights = resolve_device('cuda'), []
    for make_engine, stops in [(CudaGraph, [3, 28]), (CudaGraph, range(1, 29)), (Eager, [28]), (Eager, [28])]:
        engine = make_engine(device)
        task = make_task(
            model, shape=shape, seeds=seeds, data=AUGMENTED, optimizer=optimizer, engine=engine, images=120)
        start = initial_state(task)
        segments = list(engine.run(task, start, trainable=full_mask(task), stops=stops))
        weights.append(segments[-1].state.weights)
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[2], weights[3])
