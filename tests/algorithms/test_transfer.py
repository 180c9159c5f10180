"""Tickets of one data set trained on another."""
import pytest
import torch

from lth.algorithms.magnitude import Settings as Search
from lth.algorithms.magnitude import find_ticket
from lth.algorithms.transfer import Settings, drawn_anew, moved, transferred
from lth.errors import LthError
from lth.models import settings_of
from lth.network import Network
from lth.task import Task
from lth.tickets import Round
from tests.conftest import task_of

MODEL = 'resnet20'


def network(classes: int, shape: tuple[int, int, int] = (3, 8, 8), model: str = MODEL) -> Network:
    return Network.of(settings_of(model)(name=model), shape, classes)


@pytest.fixture(name='task', scope='module')
def of_four_classes() -> Task:
    return task_of(MODEL, shape=(3, 8, 8), seeds=(0, 2), length='1 epochs')


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


def test_a_ticket_goes_over_whole_where_the_classes_are_as_many(task, found):
    rounds = list(transferred(task, settings(found), found))
    assert [one.number for one in rounds] == [0, 1, 2]
    for one, source in zip(rounds, found, strict=True):
        assert torch.equal(one.ticket.mask, source.ticket.mask)
        assert torch.equal(one.ticket.weights, source.ticket.weights)
        assert all(torch.equal(one.ticket.buffers[name], buffer) for name, buffer in source.ticket.buffers.items())
        assert (source.ticket.iteration, one.ticket.iteration, one.trained.step) == (2, 0, task.steps)
        pruned = ~one.ticket.mask
        assert one.trained.weights[:, :pruned.shape[1]][pruned].abs().sum() == 0


def test_where_classes_differ_the_output_layer_is_drawn_anew_and_dense_and_nothing_else_changes(found):
    source = network(7).layout
    target = task_of(MODEL, shape=(3, 8, 8), seeds=(0, 2), length='1 epochs')
    random = torch.Generator().manual_seed(1)
    mask = torch.rand(2, source.prunable, generator=random) < 0.5
    ticket = found[0].ticket.__class__(
        mask, torch.randn(2, source.size, generator=random), found[0].ticket.buffers, 2)
    over = moved(target, source, ticket)
    for replicate, seed in enumerate(target.seeds):
        ours = target.network.layout.unpack(over.weights[replicate])
        theirs = source.unpack(ticket.weights[replicate])
        fresh = target.network.layout.unpack(target.network.fresh(seed))
        masks, before = target.network.layout.unpack(over.mask[replicate]), source.unpack(mask[replicate])
        for name, tensor in ours.items():
            anew = name.startswith('classifier.')
            assert torch.equal(tensor, (fresh if anew else theirs)[name])
            assert name not in masks or (masks[name].all() if anew else torch.equal(masks[name], before[name]))


def test_a_random_ticket_is_as_sparse_but_other_weights_anywhere_in_the_network(task, found):
    over = list(transferred(task, settings(found, ticket='random'), found))[2]
    prunable, mask = task.network.layout.prunable, over.ticket.mask
    assert mask.sum(1).tolist() == found[2].ticket.mask.sum(1).tolist()
    assert torch.equal(over.ticket.weights[:, :prunable] != 0, mask)
    fresh = torch.stack([task.network.fresh(seed) for seed in task.seeds])
    assert torch.equal(over.ticket.weights[:, :prunable], fresh[:, :prunable] * mask)
    slot = task.network.layout.prunable_slots[-1]
    density = float(mask.float().mean())
    shares = [float(some[:, slot.start:slot.stop].float().mean()) for some in (found[2].ticket.mask, mask)]
    assert abs(shares[1] - density) < 0.05 < abs(shares[0] - density)


@pytest.mark.parametrize('ticket', ['found', 'random'])
def test_a_transfer_resumed_after_any_round_equals_one_that_was_never_stopped(task, found, ticket):
    over = settings(found, ticket=ticket)
    whole = list(transferred(task, over, found))
    for stopped in (1, 2):
        rest = list(transferred(task, over, [*found, *whole[:stopped]]))
        assert [one.number for one in rest] == list(range(stopped, 3))
        for mine, theirs in zip(rest, whole[stopped:], strict=True):
            assert torch.equal(mine.trained.weights, theirs.trained.weights)


def test_which_tensors_are_drawn_anew():
    assert drawn_anew(network(4).layout, network(4).layout) == set()
    assert drawn_anew(network(4).layout, network(9).layout) == {'classifier.weight', 'classifier.bias'}


@pytest.mark.parametrize(('source', 'target', 'says'), [
    (network(4, (1, 8, 8)), network(4), r'stem.0.weight is of shape \(16, 1, 3, 3\) there, \(16, 3, 3, 3\) here'),
    (network(4, (1, 8, 8), 'lenet-300-100'), network(5, (1, 9, 9), 'lenet-300-100'),
     r'dense1.weight is of shape \(300, 64\) there, \(300, 81\) here')])
def test_pictures_that_make_another_network_are_told_by_the_first_tensor_that_differs(source, target, says):
    with pytest.raises(LthError, match=says):
        drawn_anew(source.layout, target.layout)
