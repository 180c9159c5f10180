"""Gates: their values and gradient, the penalty on open gates, what is saved and reported."""
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch.distributions import Normal
from torch.func import functional_call

from lth import rng
from lth.algorithms.trained_masks.gates import Gates
from lth.datasets import sampling
from lth.pruning.tickets import dense_ticket
from lth.training.state import State
from lth.training.task import Task
from tests.algorithms.trained_masks.test_gem_miner import mining
from tests.algorithms.trained_masks.test_trained_masks import find_rounds, settings_of
from tests.conftest import CPU


def gates_of(weights: torch.Tensor, **over: Any) -> Gates:
    return Gates(weights, (0,), **{'noise': 0.5, 'offset': 0.5, 'penalty': 0.} | over)


def means_of(task: Task, seed: int = 1) -> torch.Tensor:
    count = task.network.layout.prunable_count
    return torch.randn(1, count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 0.4


def noise_of(task: Task, step: int) -> torch.Tensor:
    return torch.randn(task.network.layout.prunable_count, generator=rng.generator(0, 'gates', step)).double()


@pytest.mark.parametrize('offset', [0.5, 0.])
def test_a_step_follows_the_gradient_of_the_loss_with_gates_and_penalty(offset):
    task, penalty = mining(), 0.03
    layout, count = task.network.layout, task.network.layout.prunable_count
    weights, means = dense_ticket(task).weights.double(), means_of(task)
    gates = gates_of(weights, offset=offset, penalty=penalty)
    advance = next(iter(CPU.run(task, State(means, {}), trainable=torch.ones_like(means, dtype=torch.bool), stops=[1],
                                parametrization=gates)))
    rows = sampling.epoch_order(task.splits[0][0], 0, 0)[:8]
    images = sampling.normalize(task.data.train.images[rows], task.data_settings, torch.zeros(1), torch.ones(1))
    leaf = means.clone().requires_grad_()
    gate = (leaf + 0.5 * noise_of(task, 0) + offset).clamp(0, 1)
    logits = functional_call(
        task.network.module, layout.unpack(torch.cat([weights[:, :count] * gate, weights[:, count:]], 1)[0]),
        (images.double(),))
    loss = F.cross_entropy(logits, task.data.train.labels[rows])
    (loss + penalty * Normal(0, 1).cdf((leaf + offset) / 0.5).sum()).backward()
    assert torch.allclose(advance.state.weights, means - 0.1 * leaf.grad, rtol=1e-8, atol=1e-10)
    assert float(advance.losses) == pytest.approx(loss.item(), rel=1e-6)


def test_gates_draw_other_noise_in_each_step_and_the_same_in_a_repeated_one():
    task = mining()
    gates, means = gates_of(dense_ticket(task).weights.double()), means_of(task)
    first, second, again = (gates.weights(means, step) for step in (3, 4, 3))
    assert torch.equal(first, again) and not torch.equal(first, second)
    gate = (means[0] + 0.5 * noise_of(task, 3) + 0.5).clamp(0, 1)
    count = task.network.layout.prunable_count
    assert torch.allclose(first[0, :count], gates.frozen[0, :count] * gate)
    assert torch.equal(first[:, count:], gates.frozen[:, count:])


def test_the_penalty_closes_gates():
    few, many = (find_rounds(mining(), 'gates', penalty=penalty)[0].search.selected[0] for penalty in (1., 0.))
    assert few < 0.9 * many


@pytest.mark.parametrize('values', ['binary', 'soft'])
def test_every_round_records_how_many_gates_are_open_and_the_last_keeps_the_exact_count(values):
    rounds = find_rounds(mining(), 'gates', values=values, penalty=0.1)
    for round_ in rounds:
        open_gates = round_.search.scores + 0.5 > 0
        assert round_.search.selected == (int(open_gates.sum()),)
        assert round_ is rounds[-1] or int((round_.trained.weights[:, :49_600] != 0).sum()) == int(open_gates.sum())
    last = rounds[-1]
    assert int(last.ticket.mask.sum()) == 4_960
    assert last.search.scores[last.ticket.mask].min() >= last.search.scores[~last.ticket.mask].max()


def test_soft_values_multiply_the_weights_of_the_gem_by_their_gates():
    task = mining()
    last = find_rounds(task, 'gates', values='soft')[-1]
    count, start = task.network.layout.prunable_count, dense_ticket(task).weights
    gate = (last.search.scores + 0.5).clamp(0, 1) * last.ticket.mask
    assert torch.equal(last.ticket.weights[:, :count], start[:, :count] * last.ticket.mask * gate)
    assert torch.equal(last.ticket.weights[:, count:], start[:, count:])
    assert torch.equal(last.trained.weights, last.ticket.weights)


@pytest.mark.parametrize('wrong', [
    {'noise': 0.}, {'noise': -1.}, {'penalty': -1e-4}, {'penalty': float('nan')}, {'penalty': 'auto'}, {'offset': 2.},
    {'values': 'hard'}])
def test_settings_of_gates_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        settings_of('gates', **wrong)
