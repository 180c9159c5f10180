"""Dropout: seeded for every step, so that training can be interrupted, and nothing else notices."""
from dataclasses import replace

import torch

from lth.models.network import Network
from lth.models.registry import settings_class
from lth.training.engines.dropout_rng import seed_dropout
from lth.training.task import Task
from tests.conftest import CPU, full_mask, initial_state, make_task


def dropping(rate: float = 0.5, seeds: tuple[int, ...] = (0,)) -> Task:
    task = make_task('conv-2', shape=(1, 8, 8), seeds=seeds)
    return replace(task, network=Network.of(settings_class('conv-2')(name='conv-2', dropout=rate), (1, 8, 8), 4))


def ran(task: Task, *stops: int, start=None) -> torch.Tensor:
    start = start or initial_state(task)
    return list(CPU.run(task, start, trainable=full_mask(task), stops=stops))[-1].state


def test_training_with_dropout_repeats_and_differs_from_training_without():
    torch.manual_seed(1)
    one = ran(dropping(), 6).weights
    torch.manual_seed(2)
    assert torch.equal(one, ran(dropping(), 6).weights)
    assert not torch.equal(one, ran(dropping(0.), 6).weights)


def test_training_with_dropout_goes_on_from_the_middle_of_an_epoch_as_if_never_stopped():
    task = dropping()
    whole, half = ran(task, 3, 9), ran(task, 3)
    torch.manual_seed(5)
    assert torch.equal(ran(task, 9, start=half).weights, whole.weights)


def test_each_step_and_each_seed_draw_noise_of_their_own_whatever_was_drawn_before():
    drawn = {}
    for seed in (0, 1):
        with seed_dropout(dropping(seeds=(seed,))) as begin:
            for step in (0, 1, 0):
                begin(step)
                drawn.setdefault((seed, step), []).append(torch.rand(4).tolist())
    assert all(len({tuple(row) for row in rows}) == 1 for rows in drawn.values())
    assert len({tuple(rows[0]) for rows in drawn.values()}) == 4


def test_training_with_dropout_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    ran(dropping(), 3)
    assert torch.equal(torch.rand(1), expected)


def test_measuring_drops_nothing():
    task = dropping(0.9)
    state = initial_state(task)
    assert CPU.evaluate(task, state, None) == CPU.evaluate(replace(task, network=dropping(0.).network), state, None)


def test_seeds_with_dropout_train_apart():
    assert not dropping().network.stackable
