"""Training between measurements."""
import pytest
import torch

from lth.errors import LthError
from lth.training.loop import accuracy, train
from tests.conftest import ADAM, full_mask, initial_state, make_task


def iterations(**training: object) -> list[int]:
    task = make_task(**training)
    return [one.iteration for one in train(task, initial_state(task), until=task.steps, trainable=full_mask(task)).history]


def test_it_measures_at_the_start_each_epoch_and_the_end():
    assert iterations() == [0, 5, 10, 15]


def test_it_measures_every_n_iterations_if_asked_and_at_the_end():
    assert iterations(measure_every='4 iterations') == [0, 4, 8, 12, 15]


def test_measuring_more_often_changes_nothing():
    ends = [train(task, initial_state(task), until=15, trainable=full_mask(task)).weights
            for task in (make_task(), make_task(measure_every='1 iterations'))]
    assert torch.equal(*ends)


def test_training_scores_are_means_since_the_measurement_before():
    coarse, fine = make_task(), make_task(measure_every='1 iterations')
    long, short = (train(task, initial_state(task), until=5, trainable=full_mask(task)).history for task in (coarse, fine))
    assert long[0].train is None
    assert long[1].train.loss[0] == pytest.approx(sum(one.train.loss[0] for one in short[1:]) / 5)
    assert long[1].train.accuracy[0] == pytest.approx(sum(one.train.accuracy[0] for one in short[1:]) / 5)


def test_the_loss_falls():
    task = make_task(length='20 epochs')
    history = train(task, initial_state(task), until=task.steps, trainable=full_mask(task)).history
    assert history[-1].train.loss[0] < 0.5 * history[1].train.loss[0]


def test_a_later_start_goes_on_in_the_schedule_and_in_the_data():
    task = make_task()
    whole = train(task, initial_state(task), until=12, trainable=full_mask(task))
    half = train(task, initial_state(task), until=7, trainable=full_mask(task))
    halves = train(task, half, until=12, trainable=full_mask(task))
    assert torch.equal(whole.weights, halves.weights)


def test_the_given_state_is_left_as_it_was():
    task = make_task('resnet20', shape=(3, 8, 8))
    start = initial_state(task)
    weights, buffers = start.weights.clone(), {name: buffer.clone() for name, buffer in start.buffers.items()}
    train(task, start, until=3, trainable=full_mask(task))
    assert torch.equal(start.weights, weights)
    assert all(torch.equal(start.buffers[name], buffer) for name, buffer in buffers.items())


def test_a_loss_that_is_no_number_stops_and_names_seed_step_and_rate():
    task = make_task(seeds=(4,), optimizer={'name': 'sgd', 'learning_rate': 1e30})
    says = r'seed 4 is no longer a finite number at iteration [1-5], where the learning rate is 1e\+30'
    with pytest.raises(LthError, match=says):
        train(task, initial_state(task), until=15, trainable=full_mask(task))


def test_weights_that_break_in_the_last_step_are_noticed():
    task = make_task(optimizer={'name': 'sgd', 'learning_rate': 1e38}, length='1 iterations')
    start = initial_state(task)
    start.weights.mul_(1e3)
    with pytest.raises(LthError, match='no longer a finite number at iteration 1'):
        train(task, start, until=1, trainable=full_mask(task))


def test_nothing_is_learned_while_the_rate_is_zero():
    task = make_task(optimizer=ADAM, warmup='10 iterations')
    start = initial_state(task)
    assert torch.equal(train(task, start, until=1, trainable=full_mask(task)).weights, start.weights)
    assert not torch.equal(train(task, start, until=2, trainable=full_mask(task)).weights, start.weights)


def test_accuracy_is_that_of_the_test_set():
    task = make_task(length='20 epochs')
    state = train(task, initial_state(task), until=task.steps, trainable=full_mask(task))
    assert accuracy(task, state) == state.history[-1].test.accuracy
