"""Dropout: seeded for every step, so that training can be interrupted, without effect on other random numbers."""
from dataclasses import replace

import torch

from lth.models.network import Network
from lth.models.registry import settings_class
from lth.training.engines.dropout_rng import seed_dropout
from lth.training.state import State
from lth.training.task import Task
from tests.conftest import CPU, full_mask, initial_state, make_task


def dropout_task(rate: float = 0.5, seeds: tuple[int, ...] = (0,)) -> Task:
    task = make_task('conv-2', shape=(1, 8, 8), seeds=seeds)
    return replace(task, network=Network.of(settings_class('conv-2')(name='conv-2', dropout=rate), (1, 8, 8), 4))


def train(task: Task, *stops: int, start: State | None = None) -> State:
    start = start or initial_state(task)
    return list(CPU.run(task, start, trainable=full_mask(task), stops=stops))[-1].state


def test_training_with_dropout_repeats_its_bits_and_differs_from_training_without():
    torch.manual_seed(1)
    weights = train(dropout_task(), 6).weights
    torch.manual_seed(2)
    assert torch.equal(weights, train(dropout_task(), 6).weights)
    assert not torch.equal(weights, train(dropout_task(0.), 6).weights)


def test_training_with_dropout_resumes_in_the_middle_of_an_epoch():
    task = dropout_task()
    complete, half = train(task, 3, 9), train(task, 3)
    torch.manual_seed(5)
    assert torch.equal(train(task, 9, start=half).weights, complete.weights)


def test_each_step_and_seed_has_its_own_random_numbers_whatever_was_drawn_before():
    sampled = {}
    for seed in (0, 1):
        with seed_dropout(dropout_task(seeds=(seed,))) as seed_step:
            for step in (0, 1, 0):
                seed_step(step)
                sampled.setdefault((seed, step), []).append(torch.rand(4).tolist())
    assert all(len({tuple(row) for row in rows}) == 1 for rows in sampled.values())
    assert len({tuple(rows[0]) for rows in sampled.values()}) == 4


def test_training_with_dropout_leaves_the_global_generator_unchanged():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    train(dropout_task(), 3)
    assert torch.equal(torch.rand(1), expected)


def test_measurements_use_no_dropout():
    task = dropout_task(0.9)
    state = initial_state(task)
    without = replace(task, network=dropout_task(0.).network)
    assert CPU.evaluate(task, state, None) == CPU.evaluate(without, state, None)


def test_networks_with_dropout_are_not_stacked():
    assert not dropout_task().network.stackable
