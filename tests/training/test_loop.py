"""Training between measurements."""
import pytest
import torch

from lth.errors import LthError
from lth.training.loop import accuracy, train
from tests.conftest import ADAM, everything, start_of, task_of


def iterations(**training: object) -> list[int]:
    task = task_of(**training)
    return [one.iteration for one in train(task, start_of(task), until=task.steps, trainable=everything(task)).history]


def test_it_measures_at_the_start_each_epoch_and_the_end():
    assert iterations() == [0, 5, 10, 15]


def test_it_measures_every_n_iterations_if_asked_and_at_the_end():
    assert iterations(measure_every='4 iterations') == [0, 4, 8, 12, 15]


def test_measuring_more_often_changes_nothing():
    ends = [train(task, start_of(task), until=15, trainable=everything(task)).weights
            for task in (task_of(), task_of(measure_every='1 iterations'))]
    assert torch.equal(*ends)


def test_training_scores_are_means_since_the_measurement_before():
    coarse, fine = task_of(), task_of(measure_every='1 iterations')
    long, short = (train(task, start_of(task), until=5, trainable=everything(task)).history for task in (coarse, fine))
    assert long[0].train is None
    assert long[1].train.loss[0] == pytest.approx(sum(one.train.loss[0] for one in short[1:]) / 5)
    assert long[1].train.accuracy[0] == pytest.approx(sum(one.train.accuracy[0] for one in short[1:]) / 5)


def test_the_loss_falls():
    task = task_of(length='20 epochs')
    history = train(task, start_of(task), until=task.steps, trainable=everything(task)).history
    assert history[-1].train.loss[0] < 0.5 * history[1].train.loss[0]


def test_a_later_start_goes_on_in_the_schedule_and_in_the_data():
    task = task_of()
    whole = train(task, start_of(task), until=12, trainable=everything(task))
    half = train(task, start_of(task), until=7, trainable=everything(task))
    halves = train(task, half, until=12, trainable=everything(task))
    assert torch.equal(whole.weights, halves.weights)


def test_the_given_state_is_left_as_it_was():
    task = task_of('resnet20', shape=(3, 8, 8))
    start = start_of(task)
    weights, buffers = start.weights.clone(), {name: buffer.clone() for name, buffer in start.buffers.items()}
    train(task, start, until=3, trainable=everything(task))
    assert torch.equal(start.weights, weights)
    assert all(torch.equal(start.buffers[name], buffer) for name, buffer in buffers.items())


def test_a_loss_that_is_no_number_stops_and_names_seed_step_and_rate():
    task = task_of(seeds=(4,), optimizer={'name': 'sgd', 'learning_rate': 1e30})
    says = r'seed 4 is no longer a finite number at iteration [1-5], where the learning rate is 1e\+30'
    with pytest.raises(LthError, match=says):
        train(task, start_of(task), until=15, trainable=everything(task))


def test_weights_that_break_in_the_last_step_are_noticed():
    task = task_of(optimizer={'name': 'sgd', 'learning_rate': 1e38}, length='1 iterations')
    start = start_of(task)
    start.weights.mul_(1e3)
    with pytest.raises(LthError, match='no longer a finite number at iteration 1'):
        train(task, start, until=1, trainable=everything(task))


def test_nothing_is_learned_while_the_rate_is_zero():
    task = task_of(optimizer=ADAM, warmup='10 iterations')
    start = start_of(task)
    assert torch.equal(train(task, start, until=1, trainable=everything(task)).weights, start.weights)
    assert not torch.equal(train(task, start, until=2, trainable=everything(task)).weights, start.weights)


def test_accuracy_is_that_of_the_test_set():
    task = task_of(length='20 epochs')
    state = train(task, start_of(task), until=task.steps, trainable=everything(task))
    assert accuracy(task, state) == state.history[-1].test.accuracy
