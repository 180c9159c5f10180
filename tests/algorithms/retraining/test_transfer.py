"""Tickets of one data set trained on another."""
import pytest
import torch

from lth.algorithms.imp import Settings as Search
from lth.algorithms.imp import find_ticket
from lth.algorithms.retraining.transfer import Settings, transfer
from lth.pruning.tickets import Round
from lth.training.task import Task
from tests.conftest import make_task

MODEL = 'resnet20'


@pytest.fixture(name='task', scope='module')
def of_four_classes() -> Task:
    return make_task(MODEL, shape=(3, 8, 8), seeds=(0, 2), length='1 epochs')


@pytest.fixture(name='found', scope='module')
def of_a_search(task) -> list[Round]:
    settings = Search.model_validate({
        'name': 'magnitude', 'rounds': 2, 'rates': 0.3, 'scope': 'global', 'rewind': '2 iterations'})
    return list(find_ticket(task, settings, ()))


def settings(found: list[Round], **over: object) -> Settings:
    kept = tuple(int(one.ticket.mask[0].sum()) for one in found)
    return Settings.model_validate({
        'name': 'transfer', 'source': 'run', 'rounds': tuple(range(len(found))), 'kept': kept, 'shape': (3, 8, 8),
        'classes': 4} | over)


def test_a_transferred_ticket_is_unchanged_if_the_number_of_classes_is_the_same(task, found):
    rounds = list(transfer(task, settings(found), (), source=found))
    assert [one.number for one in rounds] == [0, 1, 2]
    for one, source in zip(rounds, found, strict=True):
        assert torch.equal(one.ticket.mask, source.ticket.mask)
        assert torch.equal(one.ticket.weights, source.ticket.weights)
        assert all(torch.equal(one.ticket.buffers[name], buffer) for name, buffer in source.ticket.buffers.items())
        assert (source.ticket.iteration, one.ticket.iteration, one.trained.step) == (2, 0, task.steps)
        pruned = ~one.ticket.mask
        assert one.trained.weights[:, :pruned.shape[1]][pruned].abs().sum() == 0


def test_a_random_ticket_keeps_the_same_number_of_other_weights_anywhere_in_the_network(task, found):
    over = list(transfer(task, settings(found, ticket='random'), (), source=found))[2]
    prunable, mask = task.network.layout.prunable_count, over.ticket.mask
    assert mask.sum(1).tolist() == found[2].ticket.mask.sum(1).tolist()
    assert torch.equal(over.ticket.weights[:, :prunable] != 0, mask)
    # Weights of no seed's own draw, which a ticket that is rewound to iteration 0 has.
    own = torch.stack([task.network.initial_weights(seed) for seed in task.seeds])[:, :prunable]
    assert not (over.ticket.weights[:, :prunable] == own)[mask].any()
    assert over.ticket.weights[:, :prunable][mask].std().item() == pytest.approx(own[mask].std().item(), rel=0.1)
    slot = task.network.layout.prunable_slots[-1]
    density = float(mask.float().mean())
    shares = [float(some[:, slot.start:slot.stop].float().mean()) for some in (found[2].ticket.mask, mask)]
    assert abs(shares[1] - density) < 0.05 < abs(shares[0] - density)


@pytest.mark.parametrize('ticket', ['found', 'random'])
def test_a_transfer_resumed_after_any_round_equals_an_uninterrupted_one(task, found, ticket):
    over = settings(found, ticket=ticket)
    whole = list(transfer(task, over, (), source=found))
    for stopped in (1, 2):
        rest = list(transfer(task, over, whole[:stopped], source=found))
        assert [one.number for one in rest] == list(range(stopped, 3))
        for mine, theirs in zip(rest, whole[stopped:], strict=True):
            assert torch.equal(mine.trained.weights, theirs.trained.weights)
