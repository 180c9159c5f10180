"""Training with measurements on the way."""
from dataclasses import replace

import pytest
import torch

from lth.algorithms.trained_masks.parametrizations import Rounded
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.errors import LthError
from lth.training.loop import accuracy, train
from tests.conftest import ADAM, CPU, full_mask, initial_state, make_task


def measured_iterations(**training: object) -> list[int]:
    task = make_task(**training)
    state = train(task, initial_state(task), until=task.steps, trainable=full_mask(task))
    return [measurement.iteration for measurement in state.history]


def test_it_measures_at_the_start_after_each_epoch_and_at_the_end():
    assert measured_iterations() == [0, 5, 10, 15]


def test_measure_every_sets_the_iterations_of_measurements():
    assert measured_iterations(measure_every='4 iterations') == [0, 4, 8, 12, 15]


def test_measuring_more_often_does_not_change_the_weights():
    weights = [train(task, initial_state(task), until=15, trainable=full_mask(task)).weights
               for task in (make_task(), make_task(measure_every='1 iterations'))]
    assert torch.equal(*weights)


def test_each_step_and_each_measurement_is_reported():
    reported = []
    task = replace(make_task(), on_step=lambda step, measurement: reported.append((step, measurement)))
    state = train(task, initial_state(task), until=7, trainable=full_mask(task))
    assert [step for step, measurement in reported if measurement is None] == list(range(7))
    assert tuple(measurement for _, measurement in reported if measurement) == state.history


def test_training_metrics_are_means_since_the_last_measurement():
    coarse, fine = make_task(), make_task(measure_every='1 iterations')
    few, many = (train(task, initial_state(task), until=5, trainable=full_mask(task)).history
                 for task in (coarse, fine))
    assert few[0].train is None
    assert few[1].train.loss[0] == pytest.approx(sum(measurement.train.loss[0] for measurement in many[1:]) / 5)
    assert few[1].train.accuracy[0] == pytest.approx(sum(measurement.train.accuracy[0] for measurement in many[1:]) / 5)


def test_the_loss_decreases():
    task = make_task(length='20 epochs')
    history = train(task, initial_state(task), until=task.steps, trainable=full_mask(task)).history
    assert history[-1].train.loss[0] < 0.5 * history[1].train.loss[0]


def test_training_resumes_at_its_place_in_the_schedule_and_in_the_data():
    task = make_task()
    complete = train(task, initial_state(task), until=12, trainable=full_mask(task))
    half = train(task, initial_state(task), until=7, trainable=full_mask(task))
    resumed = train(task, half, until=12, trainable=full_mask(task))
    assert torch.equal(complete.weights, resumed.weights)
    assert [measurement.iteration for measurement in resumed.history] == [0, 5, 7, 10, 12]


def test_training_up_to_the_current_iteration_only_measures_once():
    task = make_task()
    half = train(task, initial_state(task), until=7, trainable=full_mask(task))
    assert train(task, half, until=7, trainable=full_mask(task)) == half


def test_the_given_state_is_not_changed():
    task = make_task('resnet20', shape=(3, 8, 8))
    start = initial_state(task)
    weights, buffers = start.weights.clone(), {name: buffer.clone() for name, buffer in start.buffers.items()}
    train(task, start, until=3, trainable=full_mask(task))
    assert torch.equal(start.weights, weights)
    assert all(torch.equal(start.buffers[name], buffer) for name, buffer in buffers.items())


def test_learned_scores_are_measured_through_the_weights_they_give():
    task = make_task()
    start = initial_state(task)
    scores = replace(start, weights=torch.rand(1, task.network.layout.prunable_count))
    full = torch.ones_like(scores.weights, dtype=torch.bool)
    parametrization = Rounded(start.weights, Penalty(0.))
    trained = train(task, scores, until=5, trainable=full, parametrization=parametrization)
    weights = replace(trained, weights=parametrization.weights(trained.weights, 5))
    assert trained.weights.shape == scores.weights.shape
    assert trained.history[-1].test == CPU.evaluate(task, weights, None)


def test_a_loss_that_is_not_finite_stops_with_seed_iteration_and_learning_rate():
    task = make_task(seeds=(4,), optimizer={'name': 'sgd', 'learning_rate': 1e30})
    message = r'seed 4 is no longer a finite number at iteration [1-5], where the learning rate is 1e\+30'
    with pytest.raises(LthError, match=message):
        train(task, initial_state(task), until=15, trainable=full_mask(task))


def test_weights_that_diverge_in_the_last_step_are_noticed():
    task = make_task(optimizer={'name': 'sgd', 'learning_rate': 1e38}, length='1 iterations')
    start = initial_state(task)
    start.weights.mul_(1e3)
    with pytest.raises(LthError, match='no longer a finite number at iteration 1'):
        train(task, start, until=1, trainable=full_mask(task))


def test_the_weights_do_not_change_while_the_learning_rate_is_zero():
    task = make_task(optimizer=ADAM, warmup='10 iterations')
    start = initial_state(task)
    assert torch.equal(train(task, start, until=1, trainable=full_mask(task)).weights, start.weights)
    assert not torch.equal(train(task, start, until=2, trainable=full_mask(task)).weights, start.weights)


def test_accuracy_is_measured_on_the_test_set():
    task = make_task(length='20 epochs')
    state = train(task, initial_state(task), until=task.steps, trainable=full_mask(task))
    assert accuracy(task, state) == state.history[-1].test.accuracy
