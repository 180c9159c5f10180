"""Every engine against torch.optim, against the plain engine, and against what masks promise."""
import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lth.datasets import sampling
from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.training.engines import select
from lth.training.engines.batches import Batches
from lth.training.engines.cuda.engine import CapturedStep
from lth.training.engines.precision import precision_context
from lth.training.task import State, Task
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task

NESTEROV = SGD | {'nesterov': True}
DECAYED = ADAM | {'weight_decay': 0.01}
ADAMW = DECAYED | {'name': 'adamw'}
MOVING = {'crop': 2, 'flip': True, 'normalization': 'standardize'}
EVERY_MODEL = [('lenet-300-100', (1, 8, 8), (0, 1)), ('conv-2', (3, 8, 8), (0,)), ('resnet20', (3, 8, 8), (0,))]


def ran(task: Task, state: State, until: int, trainable: torch.Tensor | None = None) -> State:
    """The state after the engine's steps, without measuring."""

    mask = full_mask(task) if trainable is None else trainable
    return list(task.engine.run(task, state, trainable=mask, stops=[until]))[-1].state


def reference(task: Task, steps: int) -> dict[str, torch.Tensor]:
    """The same training as anybody would write it: a module, its parameters, torch.optim, float64, batches by hand."""

    module = copy.deepcopy(task.network.module).double().train()
    module.load_state_dict(module.state_dict() | task.network.layout.unpack(task.network.initial_weights(0).double()))
    settings = task.training.optimizer.model_dump()
    rate, decay = settings['learning_rate'], settings['weight_decay']
    if settings['name'] in ('adam', 'adamw'):
        kind = {'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW}[settings['name']]
        optimizer = kind(module.parameters(), rate, weight_decay=decay, foreach=False)
    else:
        optimizer = torch.optim.SGD(module.parameters(), rate, settings['momentum'], weight_decay=decay,
                                    nesterov=settings['nesterov'], foreach=False)
    training = task.splits[0][0]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
    for step in range(steps):
        epoch, position = divmod(step, task.steps_per_epoch)
        rows = sampling.epoch_order(training, 0, epoch)[position * 8:position * 8 + 8]
        count = task.steps_per_epoch * 8
        starts = sampling.crop_boxes(count, task.data_settings, 0, epoch, margin=2 * task.data_settings.crop)
        starts = starts[position * 8:position * 8 + 8]
        flips = sampling.flips(count, task.data_settings, 0, epoch)[position * 8:position * 8 + 8]
        images = sampling.augment(task.data.train.images[rows], starts, flips, padding=task.data_settings.crop,
                                  size=task.network.shape[1:])
        logits = module(sampling.normalize(images, task.data_settings, mean, std).double())
        optimizer.zero_grad()
        F.cross_entropy(logits, task.data.train.labels[rows]).backward()
        optimizer.step()
    return dict(module.state_dict())


@pytest.mark.parametrize(('model', 'shape', 'data'), [
    ('lenet-300-100', (1, 8, 8), {}), ('conv-2', (3, 8, 8), MOVING), ('resnet20', (3, 8, 8), MOVING)])
@pytest.mark.parametrize(
    'optimizer', [ADAM, DECAYED, ADAMW, SGD, NESTEROV], ids=['adam', 'adam+wd', 'adamw', 'sgd', 'nesterov'])
def test_the_plain_engine_equals_torch_optim_in_float64(model, shape, data, optimizer):
    task = make_task(model, shape=shape, data=data, optimizer=optimizer)
    state = ran(task, initial_state(task, torch.float64), 7)
    mine = task.network.layout.unpack(state.weights[0]) | {name: buffer[0] for name, buffer in state.buffers.items()}
    for name, theirs in reference(task, 7).items():
        assert torch.allclose(mine[name].double(), theirs.double(), rtol=1e-9, atol=1e-11), name


@pytest.mark.parametrize(('model', 'shape', 'tolerance'), [
    ('lenet-300-100', (1, 8, 8), 1e-12), ('conv-2', (3, 8, 8), 1e-12), ('resnet20', (3, 8, 8), 1e-9)])
def test_replicates_trained_together_see_what_they_would_see_alone(model, shape, tolerance):
    together = make_task(model, shape=shape, seeds=(3, 5), data=MOVING, optimizer=SGD)
    state = ran(together, initial_state(together, torch.float64), 6)
    for row, seed in enumerate((3, 5)):
        alone = make_task(model, shape=shape, seeds=(seed,), data=MOVING, optimizer=SGD)
        expected = ran(alone, initial_state(alone, torch.float64), 6)
        assert torch.allclose(state.weights[row], expected.weights[0], atol=tolerance)
        for name, buffer in expected.buffers.items():
            assert torch.allclose(state.buffers[name][row].double(), buffer[0].double(), atol=tolerance)


@pytest.mark.parametrize(('model', 'shape', 'seeds'), EVERY_MODEL)
@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=['adam', 'sgd'])
def test_the_step_of_the_graph_engine_equals_the_plain_one(model, shape, seeds, optimizer):
    schedule = {'name': 'multistep', 'milestones': ['4 iterations', '8 iterations'], 'factor': 0.5}
    task = make_task(
        model, shape=shape, seeds=seeds, data=MOVING, optimizer=optimizer, schedule=schedule, warmup='3 iterations')
    start = initial_state(task)
    trainable = torch.rand(len(seeds), task.network.layout.size, generator=torch.Generator().manual_seed(0)) < 0.5
    mine, theirs = (list(runner(start, trainable=trainable, stops=[3, 12])) for runner in (
        CapturedStep(task, start).run, lambda *a, **k: CPU.run(task, *a, **k)))
    for one, other in zip(mine, theirs, strict=True):
        assert torch.allclose(one.state.weights, other.state.weights, atol=1e-6)
        assert torch.allclose(one.losses, other.losses, atol=1e-5) and torch.equal(one.correct, other.correct)
        assert one.state.step == other.state.step


def test_stacked_replicates_are_measured_as_each_alone():
    task = make_task(seeds=(0, 1, 2))
    state, chosen = initial_state(task), [division[1] for division in task.splits]
    for pictures in (chosen, None):
        found = CPU.evaluate(task, state, pictures)
        for row, seed in enumerate(task.seeds):
            alone = CPU.evaluate(replace(task, seeds=(seed,)), State(state.weights[row:row + 1], {}),
                              pictures and pictures[row:row + 1])
            assert found.accuracy[row] == alone.accuracy[0]
            assert found.loss[row] == pytest.approx(alone.loss[0], rel=1e-6)


def test_a_graph_used_again_forgets_the_training_before():
    task = make_task(optimizer=SGD)
    start, half = initial_state(task), full_mask(task)
    half[:, ::2] = False
    replay = CapturedStep(task, start)
    list(replay.run(start, trainable=full_mask(task), stops=[9]))
    again = list(replay.run(start, trainable=half, stops=[7]))[-1].state
    assert torch.allclose(again.weights, ran(task, start, 7, half).weights, atol=1e-6)
    assert torch.equal(again.weights[~half], start.weights[~half])


@pytest.mark.parametrize(
    'optimizer', [ADAM, DECAYED, ADAMW, SGD, NESTEROV], ids=['adam', 'adam+wd', 'adamw', 'sgd', 'nesterov'])
@pytest.mark.parametrize('value', [0., 0.37])
def test_momentum_and_weight_decay_never_move_a_weight_outside_the_mask(optimizer, value):
    task = make_task('resnet20', shape=(3, 8, 8), optimizer=optimizer)
    start, trainable = initial_state(task), full_mask(task)
    trainable[:, 1:task.network.layout.prunable_count:3] = False
    start = replace(start, weights=torch.where(trainable, start.weights, value))
    for advance in CPU.run(task, start, trainable=trainable, stops=[1, 2, 5, 11]):
        assert torch.equal(advance.state.weights[~trainable], start.weights[~trainable])
    assert not torch.equal(advance.state.weights[trainable], start.weights[trainable])


def test_where_an_engine_stops_on_the_way_changes_nothing():
    task = make_task(optimizer=SGD, data=MOVING)
    start = initial_state(task)
    often = list(CPU.run(task, start, trainable=full_mask(task), stops=[1, 4, 5, 9, 13]))
    once = list(CPU.run(task, start, trainable=full_mask(task), stops=[13]))
    assert torch.equal(often[-1].state.weights, once[-1].state.weights)
    assert torch.equal(torch.cat([advance.losses for advance in often], 1), once[0].losses)


@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=['adam', 'sgd'])
def test_a_state_goes_on_as_if_it_had_never_been_taken_out(optimizer):
    task = make_task('resnet20', shape=(3, 8, 8), optimizer=optimizer, data=MOVING)
    half_way = ran(task, initial_state(task), 7)
    before = half_way.weights.clone(), {name: tensor.clone() for name, tensor in half_way.optimizer.items()}
    assert torch.equal(ran(task, half_way, 12).weights, ran(task, initial_state(task), 12).weights)
    assert torch.equal(half_way.weights, before[0])
    assert all(torch.equal(half_way.optimizer[name], tensor) for name, tensor in before[1].items())


def test_the_same_seed_repeats_bit_for_bit_and_another_differs():
    task, other = make_task(data=MOVING), make_task(data=MOVING, seeds=(1,))
    assert torch.equal(ran(task, initial_state(task), 9).weights, ran(task, initial_state(task), 9).weights)
    assert not torch.equal(ran(task, initial_state(task), 9).weights, ran(other, initial_state(task), 9).weights)


def test_bf16_changes_the_numbers_a_little():
    exact, rough = make_task('conv-2', shape=(3, 8, 8)), make_task('conv-2', shape=(3, 8, 8), precision='bf16')
    gap = (ran(exact, initial_state(exact), 3).weights - ran(rough, initial_state(rough), 3).weights).abs().max()
    assert 0 < gap < 0.02


def test_scores_equal_a_plain_count_and_see_no_augmentation():
    task, moving = make_task(), make_task(data={'crop': 3, 'flip': True})
    state = ran(task, initial_state(task), 5)
    pictures = task.splits[0][1]
    images, labels = task.data.train.images[pictures] / 255, task.data.train.labels[pictures]
    logits = task.network.logits(state.weights[0], {}, images)
    score = CPU.evaluate(task, state, [pictures])
    assert score.accuracy[0] == (logits.argmax(1) == labels).float().mean().item()
    assert score.loss[0] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert CPU.evaluate(moving, state, [pictures]) == score
    assert CPU.evaluate(moving, state, None) == CPU.evaluate(task, state, None)


def test_scoring_changes_neither_weights_nor_running_statistics():
    task = make_task('resnet20', shape=(3, 8, 8))
    state = initial_state(task)
    weights, buffers = state.weights.clone(), {name: buffer.clone() for name, buffer in state.buffers.items()}
    CPU.evaluate(task, state, None)
    assert torch.equal(state.weights, weights)
    assert all(torch.equal(state.buffers[name], buffer) for name, buffer in buffers.items())


def test_running_statistics_train_and_the_stored_ones_do_not_change():
    task = make_task('resnet20', shape=(3, 8, 8))
    start = initial_state(task)
    state = ran(task, start, 2)
    assert state.buffers['stem.1.num_batches_tracked'].item() == 2
    assert start.buffers['stem.1.num_batches_tracked'].item() == 0
    assert start.buffers['stem.1.running_mean'].abs().sum() == 0 < state.buffers['stem.1.running_mean'].abs().sum()


@pytest.mark.parametrize(('device', 'says'), [
    ('gpu', 'Unknown device'), ('meta', 'Unknown device'), ('cuda:99', 'is not available')])
def test_a_device_that_is_not_there_is_an_error(device, says):
    with pytest.raises(LthError, match=says):
        select.select_engine(device)


def test_dense_networks_stack_on_a_gpu_and_nothing_does_on_a_cpu():
    lenet, resnet = make_task().network, make_task('resnet20', shape=(3, 8, 8)).network
    gpu = select.CudaGraph(torch.device('cuda'))
    assert select.replicate_groups(gpu, lenet, [0, 1]) == [(0, 1)]
    assert [len(stack) for stack in select.replicate_groups(gpu, lenet, range(130))] == [64, 64, 2]
    assert select.replicate_groups(gpu, resnet, [0, 1]) == select.replicate_groups(CPU, lenet, [0, 1]) == [(0,), (1,)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs an NVIDIA GPU')
@pytest.mark.parametrize(('model', 'shape', 'seeds'), EVERY_MODEL)
@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=['adam', 'sgd'])
def test_captured_graphs_equal_the_plain_engine_on_the_same_gpu(model, shape, seeds, optimizer):
    graph = select.select_engine('cuda')
    # 14 steps an epoch: graphs of ten steps and of one both run.
    task = make_task(model, shape=shape, seeds=seeds, data=MOVING, optimizer=optimizer, engine=graph, images=120)
    start, half = initial_state(task), full_mask(task)
    half[:, :task.network.layout.prunable_count:2] = False
    mine = list(graph.run(task, start, trainable=half, stops=[3, 28]))[-1]
    theirs = list(select.Eager(graph.device).run(task, start, trainable=half, stops=[3, 28]))[-1]
    assert torch.allclose(mine.state.weights, theirs.state.weights, atol=2e-3 if model == 'resnet20' else 1e-5)
    assert torch.equal(mine.state.weights[~half], start.weights[~half])


def test_pictures_are_cut_alike_in_every_precision():
    data = {'resized_crop': 0.2, 'flip': True, 'resolution': 24}
    batches = []
    for precision in ('fp32', 'bf16'):
        task = make_task('conv-2', shape=(3, 32, 32), data=data, precision=precision)
        task = replace(task, network=Network.of(settings_class('conv-2')(name='conv-2'), (3, 24, 24), 4))
        found = Batches(task, torch.float32)
        found.start_epoch(0)
        with precision_context(task):
            batches.append(found.batch(found.columns[0])[0])
    assert torch.equal(*batches)
