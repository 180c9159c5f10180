"""The sparse engine against the plain one in float64, and what it must survive."""
from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from torch import nn

from lth.datasets import Dataset, Split
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.training.engines import select
from lth.training.engines.sparse_cpu import dense_layout
from lth.training.engines.sparse_cpu import engine as sparse_engine
from lth.training.engines.sparse_cpu import kernels, rule, supported
from lth.training.loop import train
from lth.training.task import State, Task
from tests.conftest import ADAM, CPU, SGD, mlp_task, full_mask, random_dataset, initial_state, make_task

SPARSE = select.SparseCpu(torch.device('cpu'), always=True)
# At the usual 1e-8 a gradient that is all rounding is divided by itself, and single weights of the plain engine in
# float32 are 1e-5 off those in float64 too.
STEADY = ADAM | {'epsilon': 1e-5}
OPTIMIZERS = {
    'adam': STEADY, 'adam+wd': STEADY | {'weight_decay': 0.01},
    'adamw': STEADY | {'name': 'adamw', 'weight_decay': 0.1}, 'sgd': {'name': 'sgd', 'learning_rate': 0.1},
    'momentum': SGD, 'nesterov': SGD | {'nesterov': True}}


def drawn(task: Task) -> State:
    """The task's networks as they are drawn, or as its module is if the test made it."""

    if 'dense1' in dict(task.network.module.named_modules()):
        return initial_state(task)
    named = {name: parameter.detach() for name, parameter in task.network.module.named_parameters()}
    return State(task.network.layout.pack(named)[None], {})


def ticket_of(task: Task, density: float) -> tuple[State, torch.Tensor]:
    """A random ticket, pruned weights 0, and where it trains."""

    state, alive = drawn(task), full_mask(task)
    random = torch.Generator().manual_seed(5)
    prunable = task.network.layout.prunable_count
    alive[:, :prunable] = torch.rand(len(alive), prunable, generator=random) < density
    return replace(state, weights=torch.where(alive, state.weights, 0.)), alive


def ends(task: Task, state: State, alive: torch.Tensor, *stops: int, engine=SPARSE) -> State:
    return list(engine.run(task, state, trainable=alive, stops=stops))[-1].state


def exact(state: State) -> State:
    return replace(state, weights=state.weights.double())


def gap(task: Task, density: float, steps: int = 20) -> float:
    """How far the sparse engine is from the plain one in float64."""

    state, alive = ticket_of(task, density)
    mine, theirs = (list(engine.run(task, begun, trainable=alive, stops=[steps]))[-1]
                    for engine, begun in ((SPARSE, state), (CPU, exact(state))))
    assert mine.state.engine == 'sparse' and theirs.state.engine == 'eager'
    assert torch.allclose(mine.losses.double(), theirs.losses.double(), atol=1e-5)
    assert torch.equal(mine.correct, theirs.correct)
    return float((mine.state.weights - theirs.state.weights).abs().max())


@pytest.mark.parametrize('density', [1., 0.5, 0.1, 0.01])
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_it_equals_the_plain_engine_in_float64(optimizer, density):
    assert gap(make_task(optimizer=OPTIMIZERS[optimizer], length='40 epochs'), density) < 1e-6


@pytest.mark.parametrize('widths', [(), (1,), (17,), (30, 1, 5), (12, 11, 10, 9, 8)], ids=str)
@pytest.mark.parametrize('density', [1., 0.3])
def test_any_depth_and_any_width_will_do(widths, density):
    assert gap(mlp_task(make_task(optimizer=SGD, length='40 epochs'), *widths), density) < 1e-6


@pytest.mark.parametrize('density', [1., 0.3, 0.02])
def test_layers_that_are_read_tile_by_tile_will_do(monkeypatch, density):
    monkeypatch.setattr(dense_layout, '_ROWS', 3)
    monkeypatch.setattr(dense_layout, '_WEIGHTS', 1)
    task = mlp_task(make_task(optimizer=SGD, length='40 epochs'), 17, 12)
    _, alive = ticket_of(task, density)
    layers = supported.supported_dense_chain(task.network)
    matrix = dense_layout.wired(layers, alive[0].numpy(), None).matrix
    assert len(matrix.runs.units) > len(np.unique(matrix.runs.units)) or density == 0.02
    assert gap(task, density) < 1e-6


@pytest.mark.parametrize('batch', [1, 2, 63, 64, 65, 128, 200])
def test_any_batch_size_will_do(batch):
    assert gap(make_task(optimizer=SGD, images=1000, batch_size=batch, length='40 epochs'), 0.2) < 1e-6


@pytest.mark.parametrize(('shape', 'data'), [
    ((1, 3, 3), {}), ((1, 7, 7), {}), ((1, 4, 5), {'normalization': 'standardize'}),
    ((3, 9, 9), {'normalization': 'standardize'})])
def test_any_picture_will_do_scaled_or_standardized(shape, data):
    assert gap(make_task(shape=shape, data=data, optimizer=SGD), 0.5, 12) < 1e-6


def test_layers_without_biases_will_do():
    assert gap(mlp_task(make_task(optimizer=SGD), 20, 10, bias=False), 0.3, 12) < 1e-6


def test_a_schedule_and_a_warm_up_are_followed():
    schedule = {'name': 'multistep', 'milestones': ['4 iterations', '8 iterations'], 'factor': 0.5}
    assert gap(make_task(optimizer=SGD, schedule=schedule, warmup='3 iterations'), 0.3, 12) < 1e-6


def test_labels_of_32_bits_will_do_and_compile_nothing_new():
    task = make_task()
    data = random_dataset()
    short = Split(data.train.images, data.train.labels.to(torch.int32))
    state, alive = ticket_of(task, 0.2)
    expected = ends(task, state, alive, 9)
    found = ends(replace(task, data=replace(data, train=short)), state, alive, 9)
    assert torch.equal(found.weights, expected.weights)
    assert len(kernels.train.signatures) == 1


def test_what_was_prepared_is_all_that_is_compiled():
    sparse_engine.compile_kernels()
    task = make_task(optimizer=SGD, data={'normalization': 'standardize'}, batch_size=1)
    state, alive = ticket_of(task, 0.2)
    SPARSE.evaluate(task, ends(task, state, alive, 1, 3), None)
    assert [len(kernel.signatures) for kernel in (kernels.train, kernels.score, kernels.turned_once)] == [1, 1, 1]


@pytest.mark.parametrize('labels', [[0, 1, 2, 4], [0, 1, 2, -1]])
def test_a_class_that_the_network_has_not_is_an_error(labels):
    task, data = make_task(), random_dataset()
    split = Split(data.train.images, torch.tensor(labels * 12))
    task = replace(task, data=Dataset(split, split, data.mean, data.std))
    with pytest.raises(LthError, match='random: its classes run from .*, but the network tells 4 apart, 0 to 3'):
        ends(task, *ticket_of(task, 0.2), 1)


def test_a_unit_without_incoming_weights_trains_its_bias_and_one_without_outgoing_ones_stays():
    task = mlp_task(make_task(optimizer=SGD | {'weight_decay': 0.}), 6)
    state, alive = drawn(task), full_mask(task)
    entering, leaving, biases, _ = (task.network.layout.unpack(alive)[name][0] for name in
                                    ('1.weight', '3.weight', '1.bias', '3.bias'))
    entering[0], leaving[:, 1] = False, False
    before = task.network.layout.unpack(state.weights)['1.bias'][0]
    before[:] = 0.1
    state = replace(state, weights=torch.where(alive, state.weights, 0.))
    found = ends(task, state, alive, 8)
    after = task.network.layout.unpack(found.weights)
    assert biases.all() and after['1.bias'][0, 0] != before[0]
    assert after['1.bias'][0, 1] == before[1]
    assert torch.equal(after['1.weight'][0, 1], task.network.layout.unpack(state.weights)['1.weight'][0, 1])
    assert torch.allclose(found.weights, ends(task, state, alive, 8, engine=CPU).weights, atol=1e-6)


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_pruned_weights_keep_their_bits(optimizer):
    task = make_task(optimizer=OPTIMIZERS[optimizer])
    state, alive = ticket_of(task, 0.2)
    state.weights[~alive] = -0.
    found = ends(task, state, alive, 9)
    assert torch.equal(found.weights[~alive].view(torch.int32), state.weights[~alive].view(torch.int32))
    assert not torch.equal(found.weights[alive], state.weights[alive])
    assert not state.optimizer and found.engine == 'sparse'


def test_pruned_weights_that_are_not_zero_are_for_the_plain_engine():
    task = make_task()
    state, alive = ticket_of(task, 0.2)
    state.weights[~alive] = 0.37
    found = ends(task, state, alive, 9)
    assert found.engine == 'eager'
    assert torch.equal(found.weights, ends(task, state, alive, 9, engine=CPU).weights)


def assert_engines_take_turns(task: Task) -> None:
    """Each goes on where the other stopped: weights as by one alone, and the optimizer's tensors of its shapes."""

    state, alive = ticket_of(task, 0.3)
    expected = ends(task, exact(state), alive, 12, engine=CPU)
    for order in ((CPU, SPARSE, CPU), (SPARSE, CPU, SPARSE)):
        found = state
        for stop, engine in zip((3, 7, 12), order, strict=True):
            found = ends(task, found, alive, stop, engine=engine)
        assert torch.allclose(found.weights.double(), expected.weights, atol=1e-6)
        theirs = ends(task, state, alive, 12, engine=CPU).optimizer
        assert {name: tensor.shape for name, tensor in found.optimizer.items()} == {
            name: tensor.shape for name, tensor in theirs.items()}


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_one_engine_goes_on_where_the_other_stopped(optimizer):
    assert_engines_take_turns(make_task(optimizer=OPTIMIZERS[optimizer]))


def test_where_it_stops_or_a_call_ends_changes_nothing(monkeypatch):
    task = make_task(optimizer=ADAM)
    state, alive = ticket_of(task, 0.3)
    once = ends(task, state, alive, 13)
    assert torch.equal(ends(task, state, alive, 1, 4, 5, 9, 13).weights, once.weights)
    assert torch.equal(ends(task, ends(task, state, alive, 7), alive, 13).weights, once.weights)
    seen: list[int] = []
    monkeypatch.setattr(sparse_engine, '_WORK', 1)
    watched = replace(task, on_step=lambda step, _: seen.append(step))
    assert torch.equal(ends(watched, state, alive, 13).weights, once.weights)
    assert seen == list(range(13))


def test_measuring_in_many_calls_changes_nothing_but_rounding(monkeypatch):
    task = make_task(images=300)
    state = ends(task, *ticket_of(task, 0.2), 9)
    once = SPARSE.evaluate(task, state, None)
    monkeypatch.setattr(sparse_engine, '_WORK', 1)
    again = SPARSE.evaluate(task, state, None)
    assert again.accuracy == once.accuracy and again.loss == pytest.approx(once.loss, rel=1e-12)


def test_replicates_are_trained_as_if_alone():
    together = make_task(seeds=(3, 5), optimizer=SGD)
    state, alive = ticket_of(together, 0.3)
    found = list(SPARSE.run(together, state, trainable=alive, stops=[9]))[-1]
    for row, seed in enumerate((3, 5)):
        task = make_task(seeds=(seed,), optimizer=SGD)
        alone = list(SPARSE.run(
            task, replace(state, weights=state.weights[row:row + 1]), trainable=alive[row:row + 1], stops=[9]))[-1]
        assert torch.equal(found.state.weights[row], alone.state.weights[0])
        assert torch.equal(found.losses[row], alone.losses[0])


@pytest.mark.parametrize('rate', [1e30, 1e4])
def test_a_loss_that_is_no_number_is_told_as_by_the_plain_engine(rate):
    says = []
    for engine in (CPU, SPARSE):
        task = make_task(engine=engine, optimizer={'name': 'sgd', 'learning_rate': rate}, length='20 epochs')
        state, alive = ticket_of(task, 0.5)
        with pytest.raises(LthError, match='no longer a finite number') as caught:
            train(task, state, until=100, trainable=alive)
        says.append(str(caught.value))
    assert says[0] == says[1]


@pytest.mark.parametrize('density', [1., 0.2, 0.02])
def test_scores_are_those_of_the_plain_engine(density):
    task = make_task(images=300)
    state, alive = ticket_of(task, density)
    trained = ends(task, state, alive, 9)
    chosen = [torch.tensor([5, 3, 200, 7] * 17)]
    for pictures in ([task.splits[0][1]], chosen, None):
        for found in (trained, replace(trained, weights=trained.weights.clone())):
            mine, theirs = SPARSE.evaluate(task, found, pictures), CPU.evaluate(task, found, pictures)
            assert mine.accuracy == theirs.accuracy
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-6)


def test_scores_with_a_token_equal_those_without_even_after_training_has_gone_on():
    task = make_task(images=300)
    state, alive = ticket_of(task, 0.2)
    segments = list(SPARSE.run(task, state, trainable=alive, stops=[3, 9]))
    scores = [SPARSE.evaluate(task, segment.state, None, segment.token) for segment in segments]
    assert scores == [SPARSE.evaluate(task, segment.state, None) for segment in segments]
    assert scores[0] != scores[1]


def test_the_first_prune_cuts_the_same_weights():
    masks = []
    for engine in (CPU, SPARSE):
        task = make_task(engine=engine, optimizer=ADAM)
        trained = ends(task, initial_state(task), full_mask(task), 15, engine=engine).weights[0]
        masks.append(trained.abs() > trained.abs().quantile(0.2))
    assert torch.equal(*masks)


@pytest.mark.parametrize(('module', 'name'), [
    (nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 4)), 'tanh'),
    (nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 4)), 'no relu'),
    (nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU()), 'relu at the end'),
    (nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Dropout(), nn.Linear(4, 4)), 'dropout'),
    (nn.Sequential(nn.Conv1d(8, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)), 'along lines')])
def test_other_networks_are_no_chain(module, name):
    network = replace(make_task().network, module=module, layout=Layout.of(module))
    assert supported.supported_chain(network) is None, name


def test_a_layer_used_twice_is_no_chain():
    twice = nn.Linear(64, 64)
    module = nn.Sequential(nn.Flatten(), twice, nn.ReLU(), twice, nn.ReLU(), nn.Linear(64, 4))
    assert supported.supported_chain(replace(make_task().network, module=module, layout=Layout.of(module))) is None


def test_the_rule_is_one_of_density_widths_and_batch():
    def most(batch: int, *widths: int) -> float:
        task = mlp_task(make_task(shape=(1, 28, 28)), *widths, classes=10)
        layers = supported.supported_dense_chain(task.network)
        return max(kept for kept in range(101)
                   if rule.pays(kept * task.network.layout.weight_count // 100, layers, batch)) / 100

    assert [most(batch, 300, 100) for batch in (1, 60, 64, 65, 128)] == [0.51, 0.99, 0.99, 0.65, 0.99]
    assert most(60, 1000, 1000) < most(128, 1000, 300) < 0.99


def test_auto_takes_what_pays():
    engine = select.select_engine('cpu', obstacle=None)
    task = make_task(batch_size=60, images=200)
    for density, name in ((1., 'eager'), (0.9, 'sparse'), (0.5, 'sparse'), (0.05, 'sparse')):
        assert ends(task, *ticket_of(task, density), 1, engine=engine).engine == name
    assert select.select_engine('cpu', choice='eager', obstacle=None).name == 'eager'


@pytest.mark.parametrize(('data', 'training', 'says'), [
    ({'crop': 2}, {}, 'the images are augmented'), ({'resolution': 4}, {}, 'or resized'),
    ({}, {'precision': 'bf16'}, 'training.precision is bf16')])
def test_what_it_cannot_do_is_an_error_if_it_was_asked_for_and_else_goes_to_the_plain_engine(data, training, says):
    task = make_task(data=data, **training)
    obstacle = select.sparse_obstacle(task.network, task.data_settings, task.training, streamed=False)
    with pytest.raises(LthError, match=says):
        select.select_engine('cpu', choice='sparse', obstacle=obstacle)
    assert select.select_engine('cpu', obstacle=obstacle).name == 'eager'
    assert ends(task, *ticket_of(task, 0.1), 1).engine == 'eager'


def test_bytes_over_255_are_those_of_a_division():
    turned = np.arange(256, dtype=np.uint8).reshape(4, 64)
    values = np.zeros((4, 64), dtype=np.float32)

    @numba.njit
    def scale(turned, values):
        for row in range(4):
            kernels.store(values, row, kernels.scaled(turned, row))

    scale(turned, values)
    assert np.array_equal(values, turned.astype(np.float32) / np.float32(255))


def test_the_exponential_is_good_to_two_units_in_the_last_place_and_keeps_nan():
    given = np.concatenate([np.linspace(-86.9, 0, 639), [-np.inf]]).astype(np.float32).reshape(10, 64)
    found = np.zeros_like(given)

    @numba.njit
    def exponentials(given, found):
        for row in range(len(given)):
            kernels.store(found, row, kernels.exponential(kernels.load(given, row)))

    exponentials(given, found)
    expected = np.exp(given.astype(np.float64))
    assert found[-1, -1] == 0
    assert np.max(np.abs(found[:9] / expected[:9] - 1)) < 2 ** -22
    given[0, 0] = np.nan
    exponentials(given, found)
    assert np.isnan(found[0, 0]) and not np.isnan(found[0, 1:]).any()


def test_without_a_folder_for_the_cache_it_compiles_anew(monkeypatch):
    compile_ = numba.njit

    def refusing(*, cache: bool = False, **options):
        if cache:
            raise RuntimeError('cannot cache function: no locator available for file')
        return compile_(**options)

    monkeypatch.setattr(numba, 'njit', refusing)
    assert kernels.compiled(lambda number: number + 1)(1) == 2
