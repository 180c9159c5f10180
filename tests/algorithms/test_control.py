"""Controls: other networks, just as sparse, beside the tickets of every level."""
import pytest
import torch

from lth.algorithms.control import CONTROLS, Settings, controlled
from lth.algorithms.magnitude import Settings as Search
from lth.algorithms.magnitude import find_ticket
from lth.task import Task
from lth.tickets import Round, Ticket
from tests.conftest import task_of


def search(task: Task) -> list[Round]:
    settings = Search.model_validate({
        'name': 'magnitude', 'rounds': 2, 'rates': {'convolution': 0.1, 'dense': 0.2, 'output': 0.5},
        'rewind': '2 iterations', 'mask_0_action': 'freeze'})
    return list(find_ticket(task, settings, ()))


def controls(task: Task, name: str, past: list[Round]) -> list[Round]:
    kept = tuple(int(one.ticket.mask[0].sum()) for one in past[:3])
    return list(controlled(task, Settings(name='control', control=name, source='run', kept=kept), past))


def kept_by_layer(task: Task, mask: torch.Tensor) -> list[int]:
    return [int(mask[0, slot.start:slot.stop].sum()) for slot in task.network.layout.prunable_slots]


@pytest.fixture(name='task', scope='module')
def of_two_seeds() -> Task:
    return task_of('conv-2', shape=(3, 8, 8), seeds=(0, 4), length='1 epochs')


@pytest.fixture(name='found', scope='module')
def of_a_search(task) -> list[Round]:
    return search(task)


@pytest.mark.parametrize('name', CONTROLS.names())
def test_a_control_is_exactly_as_sparse_as_its_ticket_and_another_network_at_every_level(task, found, name):
    prunable = task.network.layout.prunable
    dense, *rounds = controls(task, name, found)
    assert dense is found[0] and [one.number for one in rounds] == [1, 2]
    for control, ticket in zip(rounds, found[1:], strict=True):
        assert control.ticket.mask.sum(1).tolist() == ticket.ticket.mask.sum(1).tolist()
        weights = control.ticket.weights[:, :prunable]
        assert (weights != 0).equal(control.ticket.mask)
        for one, other in zip(weights, ticket.ticket.weights[:, :prunable]):
            assert not torch.equal(one, other)
        assert torch.equal(control.trained.weights[:, :prunable] != 0, control.ticket.mask)
        assert control.trained.step == task.steps


def test_reinit_keeps_the_mask_and_draws_all_weights_anew_for_each_level_and_seed(task, found):
    first, second = controls(task, 'reinit', found)[1:]
    for control, ticket in ((first, found[1]), (second, found[2])):
        assert torch.equal(control.ticket.mask, ticket.ticket.mask)
        assert control.ticket.iteration == 0 and ticket.ticket.iteration == 2
        assert (control.ticket.weights == ticket.ticket.weights)[ticket.ticket.mask.nonzero(as_tuple=True)].sum() == 0
    both = first.ticket.mask & second.ticket.mask
    prunable = task.network.layout.prunable
    assert not torch.equal(first.ticket.weights[:, :prunable][both], second.ticket.weights[:, :prunable][both])
    slot = task.network.layout.prunable_slots[2]
    stds = [float(row[slot.start:slot.stop][mask[slot.start:slot.stop]].std())
            for row, mask in zip(first.ticket.weights, first.ticket.mask)]
    assert stds == pytest.approx([float(slot.view(task.network.fresh(0)).std())] * 2, rel=0.05)


def test_random_layer_keeps_the_share_of_each_layer_and_the_weights_of_the_rewind_point(task, found):
    for control, ticket in zip(controls(task, 'random-layer', found)[1:], found[1:], strict=True):
        assert kept_by_layer(task, control.ticket.mask) == kept_by_layer(task, ticket.ticket.mask)
        prunable = task.network.layout.prunable
        start = found[0].ticket.weights
        assert torch.equal(control.ticket.weights[:, :prunable], start[:, :prunable] * control.ticket.mask)
        assert torch.equal(control.ticket.weights[:, prunable:], start[:, prunable:])
        assert control.ticket.iteration == 2


def test_random_global_spreads_the_kept_weights_evenly_over_all_layers(task, found):
    control = controls(task, 'random-global', found)[2]
    sizes = [slot.size for slot in task.network.layout.prunable_slots]
    density = sum(kept_by_layer(task, control.ticket.mask)) / sum(sizes)
    shares = [kept / size for kept, size in zip(kept_by_layer(task, control.ticket.mask), sizes)]
    assert shares == pytest.approx([density] * len(sizes), abs=0.05)
    ticket = [kept / size for kept, size in zip(kept_by_layer(task, found[2].ticket.mask), sizes)]
    assert max(abs(share - density) for share in ticket) > 0.1


@pytest.mark.parametrize('name', CONTROLS.names())
@pytest.mark.parametrize('stopped', [1, 2])
def test_a_control_resumed_after_any_level_equals_one_that_was_never_stopped(task, found, name, stopped):
    whole = controls(task, name, found)
    rest = controls(task, name, [*found, *whole[:stopped]])
    assert [one.number for one in rest] == list(range(stopped, 3))
    for mine, theirs in zip(rest, whole[stopped:], strict=True):
        assert torch.equal(mine.ticket.mask, theirs.ticket.mask)
        assert torch.equal(mine.trained.weights, theirs.trained.weights)


@pytest.mark.parametrize('name', CONTROLS.names())
def test_what_a_control_draws_for_a_seed_does_not_depend_on_the_seeds_beside_it(task, found, name):
    alone = task_of('conv-2', shape=(3, 8, 8), seeds=(4,), length='1 epochs')
    dense, mask = found[0].ticket, found[1].ticket.mask
    ours = Ticket(dense.mask[1:], dense.weights[1:], dense.buffers, dense.iteration)
    both, one = CONTROLS.find(name)(task, dense, mask, 1), CONTROLS.find(name)(alone, ours, mask[1:], 1)
    assert torch.equal(both.mask[1:], one.mask) and torch.equal(both.weights[1:], one.weights)
