"""What holds for every network in the sparse engine: resuming, evaluation, pruned weights, errors, and the choice."""
from dataclasses import replace

import pytest
import torch

from lth.datasets import Dataset, Split
from lth.errors import LthError
from lth.training.engines import select
from lth.training.engines.sparse_cpu import prepared
from lth.training.engines.sparse_cpu.kernels import steps
from lth.training.loop import train
from tests.conftest import ADAM, CPU, SGD, make_task, random_dataset
from tests.training.engines.sparse_cpu.sparse_tasks import (
    OPTIMIZERS, SPARSE, conv_task, in_float64, last_segment, random_ticket, small_conv_2, train_to)

TASKS = {'dense': make_task, 'convolutions': small_conv_2}


@pytest.mark.parametrize('make', TASKS.values(), ids=TASKS)
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_pruned_weights_keep_their_bits(make, optimizer):
    task = make(optimizer=OPTIMIZERS[optimizer])
    state, mask = random_ticket(task, 0.2)
    state.weights[~mask] = -0.
    trained = train_to(task, state, mask, 9)
    assert torch.equal(trained.weights[~mask].view(torch.int32), state.weights[~mask].view(torch.int32))
    assert not torch.equal(trained.weights[mask], state.weights[mask])
    assert not state.optimizer and trained.engine == 'sparse'


@pytest.mark.parametrize('make', TASKS.values(), ids=TASKS)
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_engines_resume_each_other(make, optimizer):
    """Weights are as after training by one engine, and the optimizer's tensors have the same shapes."""

    task = make(optimizer=OPTIMIZERS[optimizer])
    state, mask = random_ticket(task, 0.3)
    eager = train_to(task, in_float64(state), mask, 12, engine=CPU)
    for order in ((CPU, SPARSE, CPU), (SPARSE, CPU, SPARSE)):
        resumed = state
        for stop, engine in zip((3, 7, 12), order, strict=True):
            resumed = train_to(task, resumed, mask, stop, engine=engine)
        assert torch.allclose(resumed.weights.double(), eager.weights, atol=1e-6)
        assert {name: tensor.shape for name, tensor in resumed.optimizer.items()} == {
            name: tensor.shape for name, tensor in eager.optimizer.items()}


@pytest.mark.parametrize('make', TASKS.values(), ids=TASKS)
def test_stops_and_resumes_change_no_bit(monkeypatch, make):
    task = make(optimizer=ADAM)
    state, mask = random_ticket(task, 0.3)
    once = train_to(task, state, mask, 13).weights
    assert torch.equal(train_to(task, state, mask, 1, 4, 5, 9, 13).weights, once)
    assert torch.equal(train_to(task, train_to(task, state, mask, 7), mask, 13).weights, once)
    iterations: list[int] = []
    monkeypatch.setattr(prepared, '_WORK_PER_CALL', 1)
    reported = replace(task, on_step=lambda step, _: iterations.append(step))
    assert torch.equal(train_to(reported, state, mask, 13).weights, once)
    assert iterations == list(range(13))


def test_replicates_train_as_if_alone():
    together = make_task(seeds=(3, 5), optimizer=SGD)
    state, mask = random_ticket(together, 0.3)
    both = last_segment(together, state, mask, 9)
    for row, seed in enumerate((3, 5)):
        part = replace(state, weights=state.weights[row:row + 1])
        alone = last_segment(make_task(seeds=(seed,), optimizer=SGD), part, mask[row:row + 1], 9)
        assert torch.equal(both.state.weights[row], alone.state.weights[0])
        assert torch.equal(both.losses[row], alone.losses[0])


@pytest.mark.parametrize('make', TASKS.values(), ids=TASKS)
@pytest.mark.parametrize('density', [1., 0.2, 0.02])
def test_metrics_equal_the_eager_engine(make, density):
    task = make(images=300, data={'normalization': 'standardize'})
    trained = train_to(task, *random_ticket(task, density), 9)
    repeated = [torch.tensor([5, 3, 200, 7] * 17)]
    for indices in ([task.splits[0][1]], repeated, None):
        sparse, eager = SPARSE.evaluate(task, trained, indices), CPU.evaluate(task, trained, indices)
        assert sparse.accuracy == eager.accuracy
        assert sparse.loss == pytest.approx(eager.loss, rel=1e-6)


def test_metrics_with_a_token_equal_those_without_also_when_training_has_continued():
    task = make_task(images=300)
    state, mask = random_ticket(task, 0.2)
    segments = list(SPARSE.run(task, state, trainable=mask, stops=[3, 9]))
    metrics = [SPARSE.evaluate(task, segment.state, None, segment.token) for segment in segments]
    assert metrics == [SPARSE.evaluate(task, segment.state, None) for segment in segments]
    assert metrics[0] != metrics[1]


def test_metrics_by_many_calls_of_the_kernel_equal_those_by_one_up_to_rounding(monkeypatch):
    task = make_task(images=300)
    state = train_to(task, *random_ticket(task, 0.2), 9)
    once = SPARSE.evaluate(task, state, None)
    monkeypatch.setattr(prepared, '_WORK_PER_CALL', 1)
    split = SPARSE.evaluate(task, state, None)
    assert split.accuracy == once.accuracy and split.loss == pytest.approx(once.loss, rel=1e-12)


@pytest.mark.parametrize(('make', 'rate', 'scale'), [
    (make_task, 1e30, 1.), (make_task, 1e4, 1.), (small_conv_2, 1e30, 1.), (small_conv_2, 0.1, 1e25)])
def test_divergence_is_the_same_error_as_in_the_eager_engine(make, rate, scale):
    messages = []
    for engine in (CPU, SPARSE):
        task = make(engine=engine, optimizer={'name': 'sgd', 'learning_rate': rate}, length='20 epochs')
        state, mask = random_ticket(task, 0.5)
        state.weights.mul_(scale)
        with pytest.raises(LthError, match='finite') as caught:
            train(task, state, until=100, trainable=mask)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_pruned_weights_that_are_not_zero_are_trained_by_the_eager_engine():
    task = make_task()
    state, mask = random_ticket(task, 0.2)
    state.weights[~mask] = 0.37
    trained = train_to(task, state, mask, 9)
    assert trained.engine == 'eager'
    assert torch.equal(trained.weights, train_to(task, state, mask, 9, engine=CPU).weights)


def test_labels_of_32_bits_are_accepted():
    task, data = make_task(), random_dataset()
    short = Split(data.train.images, data.train.labels.to(torch.int32))
    state, mask = random_ticket(task, 0.2)
    expected = train_to(task, state, mask, 9).weights
    assert torch.equal(train_to(replace(task, data=replace(data, train=short)), state, mask, 9).weights, expected)


@pytest.mark.parametrize('labels', [[0, 1, 2, 4], [0, 1, 2, -1]])
def test_label_outside_the_networks_classes_is_an_error(labels):
    task, data = make_task(), random_dataset()
    split = Split(data.train.images, torch.tensor(labels * 12))
    task = replace(task, data=Dataset(split, split, data.mean, data.std))
    with pytest.raises(LthError, match='random: labels run from .*, but the network has 4 classes, 0 to 3'):
        train_to(task, *random_ticket(task, 0.2), 1)


def test_compile_kernels_compiles_all_that_training_and_evaluation_use():
    prepared.compile_kernels()
    standardize, layers = {'normalization': 'standardize'}, [(4, 3, 1, False), (5, 3, 1, True)]
    for task in (make_task(optimizer=SGD, data=standardize, batch_size=1),
                 conv_task(make_task(shape=(3, 8, 8), optimizer=SGD, data=standardize, batch_size=1), *layers)):
        SPARSE.evaluate(task, train_to(task, *random_ticket(task, 0.2), 1, 3), None)
    kernels = (steps.train, steps.evaluate, steps.transpose_chunks)
    assert [len(kernel.signatures) for kernel in kernels] == [1, 1, 1]


@pytest.mark.parametrize(('data', 'training', 'message'), [
    ({'crop': 2}, {}, 'the images are augmented'), ({'resolution': 4}, {}, 'or resized'),
    ({}, {'precision': 'bf16'}, 'training.precision is bf16')])
def test_unsupported_recipe_is_an_error_if_sparse_was_requested_and_else_uses_the_eager_engine(
        data, training, message):
    task = make_task(data=data, **training)
    obstacle = select.sparse_obstacle(task.network, task.data_settings, task.training, streamed=False)
    with pytest.raises(LthError, match=message):
        select.select_engine('cpu', choice='sparse', obstacle=obstacle)
    assert select.select_engine('cpu', obstacle=obstacle).name == 'eager'
    assert train_to(task, *random_ticket(task, 0.1), 1).engine == 'eager'


@pytest.mark.parametrize(('model', 'options', 'engines'), [
    ('lenet-300-100', {'batch_size': 60, 'images': 200}, {1.: 'sparse', 0.9: 'sparse', 0.05: 'sparse'}),
    ('lenet-300-100', {'batch_size': 8}, {1.: 'eager', 0.9: 'eager', 0.05: 'sparse'}),
    ('lenet-5', {'batch_size': 16, 'shape': (3, 32, 32)}, {1.: 'eager', 0.05: 'sparse'})])
def test_auto_uses_the_sparse_engine_at_densities_where_it_is_expected_to_be_faster(model, options, engines):
    engine, task = select.select_engine('cpu', obstacle=None), make_task(model, **options)
    for density, name in engines.items():
        kept = round(density * task.network.layout.weight_count)
        assert engine.expects(task.network, kept, task.training.batch_size) == (name == 'sparse')
        assert train_to(task, *random_ticket(task, density), 1, engine=engine).engine == name
