"""Runs of controls: in each round another network, as sparse as the ticket."""
from dataclasses import replace

import pytest
import torch

from lth import rng
from lth.algorithms.imp import find_ticket
from lth.algorithms.imp_settings import Settings as Search
from lth.algorithms.retraining import controls as algorithm
from lth.errors import LthError
from lth.pruning import controls as register
from lth.pruning.changed_tickets import apply_control
from lth.pruning.soups import train_soup
from lth.pruning.tickets import Round, dense_ticket
from lth.training.task import Task
from tests.conftest import make_task

# Another network than that of a ticket that rewinds. initial-weights is one only for tickets that start trained.
OTHER_NETWORKS = [name for name in register.available_controls() if name not in ('shuffle-weights', 'initial-weights')]


def search(task: Task) -> list[Round]:
    settings = Search.model_validate({
        'name': 'magnitude', 'rounds': 2, 'rates': {'convolution': 0.1, 'dense': 0.2, 'output': 0.5},
        'rewind': '2 iterations', 'mask_0_action': 'freeze'})
    return list(find_ticket(task, settings, ()))


def controls(task: Task, name: str, past: list[Round], draw: int = 1, copies: int = 1) -> list[Round]:
    kept = tuple(int(round_.ticket.mask[0].sum()) for round_ in past[:3])
    settings = algorithm.Settings(name='control', control=name, source='run', kept=kept, draw=draw, copies=copies)
    return list(algorithm.train_controls(task, settings, past[3:], source=past[:3]))


def kept_by_layer(task: Task, mask: torch.Tensor) -> list[int]:
    return [int(mask[0, slot.start:slot.stop].sum()) for slot in task.network.layout.prunable_slots]


@pytest.fixture(name='task', scope='module')
def of_two_seeds() -> Task:
    return make_task(seeds=(0, 4), length='1 epochs')


@pytest.fixture(name='source', scope='module')
def of_a_search(task) -> list[Round]:
    return search(task)


@pytest.mark.parametrize('name', OTHER_NETWORKS)
def test_a_control_keeps_the_count_of_its_ticket_and_differs_from_it_in_every_round(task, source, name):
    prunable = task.network.layout.prunable_count
    dense, *rounds = controls(task, name, source)
    assert dense is source[0] and [round_.number for round_ in rounds] == [1, 2]
    for control, ticket in zip(rounds, source[1:], strict=True):
        assert control.ticket.mask.sum(1).tolist() == ticket.ticket.mask.sum(1).tolist()
        weights = control.ticket.weights[:, :prunable]
        assert (weights != 0).equal(control.ticket.mask)
        for row, ticket_row in zip(weights, ticket.ticket.weights[:, :prunable]):
            assert not torch.equal(row, ticket_row)
        assert torch.equal(control.trained.weights[:, :prunable] != 0, control.ticket.mask)
        assert control.trained.step == task.steps


def test_reinit_keeps_the_mask_and_reinitializes_all_weights_for_each_round_and_seed(task, source):
    first, second = controls(task, 'reinit', source)[1:]
    for control, ticket in ((first, source[1]), (second, source[2])):
        assert torch.equal(control.ticket.mask, ticket.ticket.mask)
        assert control.ticket.iteration == 0 and ticket.ticket.iteration == 2
        assert (control.ticket.weights == ticket.ticket.weights)[ticket.ticket.mask.nonzero(as_tuple=True)].sum() == 0
    both = first.ticket.mask & second.ticket.mask
    prunable = task.network.layout.prunable_count
    assert not torch.equal(first.ticket.weights[:, :prunable][both], second.ticket.weights[:, :prunable][both])
    slot = task.network.layout.prunable_slots[1]
    stds = [float(row[slot.start:slot.stop][mask[slot.start:slot.stop]].std())
            for row, mask in zip(first.ticket.weights, first.ticket.mask)]
    assert stds == pytest.approx([float(slot.view(task.network.initial_weights(0)).std())] * 2, rel=0.05)


def test_a_shuffled_mask_keeps_the_count_of_each_layer_and_the_weights_of_the_rewind_point(task, source):
    for control, ticket in zip(controls(task, 'shuffle-mask', source)[1:], source[1:], strict=True):
        assert kept_by_layer(task, control.ticket.mask) == kept_by_layer(task, ticket.ticket.mask)
        prunable = task.network.layout.prunable_count
        start = source[0].ticket.weights
        assert torch.equal(control.ticket.weights[:, :prunable], start[:, :prunable] * control.ticket.mask)
        assert torch.equal(control.ticket.weights[:, prunable:], start[:, prunable:])
        assert control.ticket.iteration == 2


def test_a_permuted_mask_distributes_weights_evenly_over_all_layers(task, source):
    control = controls(task, 'permute-mask', source)[2]
    sizes = [slot.size for slot in task.network.layout.prunable_slots]
    density = sum(kept_by_layer(task, control.ticket.mask)) / sum(sizes)
    shares = [kept / size for kept, size in zip(kept_by_layer(task, control.ticket.mask), sizes)]
    assert shares == pytest.approx([density] * len(sizes), abs=0.05)
    ticket = [kept / size for kept, size in zip(kept_by_layer(task, source[2].ticket.mask), sizes)]
    assert max(abs(share - density) for share in ticket) > 0.1


@pytest.mark.parametrize('name', ['reinit', 'permute-mask'])
@pytest.mark.parametrize('stopped', [1, 2])
def test_a_control_resumed_after_any_round_equals_an_uninterrupted_one(task, source, name, stopped):
    whole = controls(task, name, source)
    rest = controls(task, name, [*source, *whole[:stopped]])
    assert [round_.number for round_ in rest] == list(range(stopped, 3))
    for resumed, uninterrupted in zip(rest, whole[stopped:], strict=True):
        assert torch.equal(resumed.ticket.mask, uninterrupted.ticket.mask)
        assert torch.equal(resumed.trained.weights, uninterrupted.trained.weights)


@pytest.mark.parametrize(('word', 'name'), [
    ('Random_Layer', 'shuffle-mask'), ('random-global', 'permute-mask'), ('reinitialize', 'reinit')])
def test_controls_have_their_names_and_former_names(word, name):
    settings = algorithm.Settings(name='control', control=word, source='run', kept=(2, 1))
    assert settings.control == name


def test_reinit_gives_the_same_weights_as_earlier_versions(task, source):
    level = controls(task, 'reinit', source)[2].ticket
    seeds = tuple(rng.derive_seed(seed, 'reinit', 2) for seed in task.seeds)
    drawn, prunable = dense_ticket(replace(task, seeds=seeds)).weights, task.network.layout.prunable_count
    assert torch.equal(level.weights[:, :prunable], drawn[:, :prunable] * level.mask)


@pytest.mark.parametrize('name', ['reinit', 'shuffle-mask'])
def test_another_draw_of_a_control_is_another_network_with_the_same_layer_counts(task, source, name):
    first, second = (controls(task, name, source, draw)[1].ticket for draw in (1, 2))
    assert torch.equal(first.mask, second.mask) == (name == 'reinit')
    assert kept_by_layer(task, first.mask) == kept_by_layer(task, second.mask)
    assert not torch.equal(first.weights, second.weights)


def test_rounds_have_different_random_numbers(task, source):
    for name in ('shuffle-mask', 'permute-mask', 'erk'):
        first, second = (
            apply_control(name, task, source[0].ticket, source[2].ticket, (number,)) for number in (1, 2))
        for mask, other_mask in zip(first.mask, second.mask, strict=True):
            assert mask.sum() == other_mask.sum() and not torch.equal(mask, other_mask)


def test_a_round_in_which_a_claim_of_a_control_is_not_true_is_refused(task, source):
    with pytest.raises(LthError, match='The control permute-mask cannot be used for seed 0, .*"mask differs"'):
        controls(task, 'permute-mask', [source[0], replace(source[0], number=1), source[2]])


def test_a_round_whose_weights_a_control_cannot_distribute_is_refused_when_planning():
    layout = make_task().network.layout
    settings = algorithm.Settings(
        name='control', control='smart-ratio', source='run', kept=(layout.prunable_count, 20, 19))
    with pytest.raises(LthError, match='smart-ratio keeps 120 of the 400 weights of the classifier'):
        settings.kept_counts(layout, make_task().training, 5)


def test_controls_of_a_search_with_copies_are_soups_of_as_many(task, source):
    dense, *alone = controls(task, 'reinit', source)
    again, *rounds = controls(task, 'reinit', source, copies=3)
    assert again is dense
    for single, control in zip(alone, rounds, strict=True):
        assert torch.equal(control.ticket.weights, single.ticket.weights)
        soup, copies = train_soup(task, single.ticket, single.number, copies=3, soup='uniform')
        assert torch.equal(control.trained.weights, soup.weights) and control.copies == copies
        assert [one.test[0] for one in control.copies] == list(single.trained.history[-1].test.accuracy)
        assert not torch.equal(control.trained.weights, single.trained.weights)


def test_the_planned_steps_of_controls_count_all_copies():
    training = make_task(length='10 iterations').training
    settings = algorithm.Settings(name='control', control='reinit', source='run', kept=(9, 8), copies=3)
    assert [settings.trained_steps(number, training, 5) for number in (0, 1)] == [0, 3 * 10]
