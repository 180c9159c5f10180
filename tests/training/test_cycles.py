"""Cyclic training: the whole learning-rate schedule several times, each time with a new optimizer."""
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies

from lth.errors import LthError
from lth.experiments.changes import Changes
from lth.experiments.resolve import ticket_plan
from lth.recipes.schema import TrainingSettings
from lth.training.loop import train
from lth.training.lr_schedules import learning_rates
from lth.training.state import State
from lth.training.task import Task
from tests.conftest import ADAM, SGD, full_mask, initial_state, make_task
from tests.training.test_checkpoints import assert_equal_states, compare_with_interrupted


def trained(task: Task) -> State:
    return train(task, initial_state(task), until=task.steps, trainable=full_mask(task))


def rates(**settings: object) -> list[float]:
    optimizer = {'name': 'sgd', 'learning_rate': 1.}
    return learning_rates(TrainingSettings.model_validate(
        {'length': '4 iterations', 'batch_size': 1, 'optimizer': optimizer} | settings), 1).tolist()


def test_each_cycle_has_the_whole_schedule():
    schedule = {'schedule': {'name': 'multistep', 'milestones': ['3 iterations']}, 'warmup': '2 iterations'}
    once = rates(**schedule)
    assert once == [0., 0.5, 1., pytest.approx(0.1)]
    assert rates(cycles=3, **schedule) == once * 3


def test_cycles_of_a_total_budget_share_it_with_compressed_schedules():
    schedule = {'schedule': {'name': 'multistep', 'milestones': ['6 iterations']}, 'warmup': '4 iterations'}
    compressed = rates(length='8 iterations', cycles=2, cycle_budget='total', **schedule)
    assert compressed == [0., 0.5, 1., pytest.approx(0.1)] * 2


@pytest.mark.parametrize('cycles', [1, 3, 7])
def test_a_total_budget_has_the_iterations_of_one_cycle_and_cosines_that_start_again(cycles):
    training = TrainingSettings.model_validate({
        'length': '20 iterations', 'batch_size': 1, 'optimizer': SGD, 'schedule': {'name': 'cosine'},
        'cycles': cycles, 'cycle_budget': 'total'})
    found, ends = learning_rates(training, 1), training.cycle_ends(1)
    assert len(found) == training.steps(1) == ends[-1] == 20 and len(ends) == cycles
    starts = np.array([0, *ends[:-1]])
    assert found[starts].tolist() == [found[0]] * cycles
    assert np.flatnonzero(np.diff(found) > 0).tolist() == (starts[1:] - 1).tolist()


@pytest.mark.parametrize(('lengths', 'cycles', 'ends'), [
    ('linear-increase', 3, (10, 30, 60)), ('linear-decrease', 3, (30, 50, 60)),
    # 1 : √2 : 2, of 60.
    ('exponential-increase', 3, (13, 32, 60)), ('exponential-decrease', 3, (27, 46, 60)),
    ('exponential-increase', 2, (20, 60)), ('constant', 3, (20, 40, 60))])
def test_lengths_of_cycles_grow_or_shrink_linearly_or_exponentially_by_hand(lengths, cycles, ends):
    training = TrainingSettings.model_validate({
        'length': '60 iterations', 'batch_size': 1, 'optimizer': SGD, 'schedule': {'name': 'cosine'},
        'cycles': cycles, 'cycle_budget': 'total', 'cycle_lengths': lengths})
    assert training.cycle_ends(1) == ends and training.steps(1) == 60
    found = learning_rates(training, 1)
    assert len(found) == 60 and [found[start] for start in (0, *ends[:-1])] == [found[0]] * cycles


@hypothesis.given(strategies.integers(2, 30), strategies.integers(2_000, 100_000), strategies.sampled_from(
    ['linear-increase', 'linear-decrease', 'exponential-increase', 'exponential-decrease']))
def test_cycles_of_any_shape_sum_to_the_length_in_order(cycles, length, lengths):
    training = TrainingSettings.model_validate({
        'length': f'{length} iterations', 'batch_size': 1, 'optimizer': SGD, 'cycles': cycles,
        'cycle_budget': 'total', 'cycle_lengths': lengths})
    parts = np.diff((0, *training.cycle_ends(1)))
    steps = np.diff(parts) if lengths.endswith('increase') else -np.diff(parts)
    assert parts.sum() == length and (parts > 0).all() and (steps >= -1).all()
    first, last = sorted((parts[0], parts[-1]))
    assert last / first == pytest.approx(cycles if lengths.startswith('linear') else 2, rel=0.3)


@pytest.mark.parametrize('changes', [{'cycles': 3}, {'cycle_budget': 'total'}])
def test_lengths_of_cycles_that_share_no_budget_are_refused(changes):
    with pytest.raises(ValueError, match='cycle_lengths linear-increase divides a total length among cycles'):
        rates(cycle_lengths='linear-increase', **changes)


@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=str)
def test_a_cycle_continues_the_weights_with_a_new_optimizer(optimizer):
    task, whole = make_task(optimizer=optimizer, cycles=2), make_task(optimizer=optimizer, length='6 epochs')
    first = train(whole, initial_state(whole), until=15, trainable=full_mask(whole))
    expected = train(whole, State(first.weights, first.buffers, 15), until=30, trainable=full_mask(whole))
    found = trained(task)
    assert torch.equal(found.weights, expected.weights)
    assert found.history == (*first.history, *expected.history[1:])
    assert not torch.equal(found.weights, trained(whole).weights)


def test_one_cycle_is_bit_for_bit_the_training_without_the_setting():
    for budget in ('each', 'total'):
        assert_equal_states(trained(make_task(cycles=1, cycle_budget=budget)), trained(make_task()))


def test_the_end_of_each_cycle_is_measured():
    task = make_task(length='7 iterations', cycles=3, measure_every='10 iterations')
    assert [measured.iteration for measured in trained(task).history] == [0, 7, 10, 14, 20, 21]


@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=str)
def test_interrupted_cycles_resume_byte_for_byte(optimizer):
    task = make_task(optimizer=optimizer, length='5 iterations', cycles=3, measure_every='4 iterations')
    compare_with_interrupted(task, interrupts=(1, 4, 5, 6, 8, 10, 11))


def test_a_training_that_starts_in_a_cycle_trains_the_rest_of_it_and_the_other_cycles():
    task = make_task(cycles=2)
    start = replace(initial_state(task), step=12)
    state = train(task, start, until=task.steps, trainable=full_mask(task))
    assert [measured.iteration for measured in state.history] == [12, 15, 20, 25, 30]


@pytest.mark.parametrize(('settings', 'says'), [
    ({'training.cycles': 0}, 'cycles: it should be greater'), ({'training.cycles': 1001}, 'cycles: it should be less'),
    ({'training.cycles': 90, 'training.cycle_budget': 'total'}, 'cannot be divided into 90 cycles'),
    ({'training.cycles': 12, 'training.cycle_budget': 'total', 'training.cycle_lengths': 'linear-increase'},
     'cannot be divided into 12 cycles'),
    ({'training.cycles': 2, 'algorithm.rewind': '42 iterations'}, 'is not before the end of the first cycle'),
    ({'training.cycles': 1000, 'training.length': '999999 epochs'}, 'in 1,000 cycles are')])
def test_cycles_that_cannot_be_trained_are_refused(settings, says):
    changes = Changes(None, {'training.length': '2 epochs'} if 'training.length' not in settings else {},
                      tuple(settings.items()))
    with pytest.raises(LthError, match=says):
        ticket_plan('lenet-300-100', 'digits', changes)
