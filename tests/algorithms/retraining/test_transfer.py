"""Tickets of one data set trained on another."""
from dataclasses import replace

import pytest
import torch

from lth.algorithms.imp import find_ticket
from lth.algorithms.imp_settings import Settings as Search
from lth.algorithms.retraining.transfer import Settings, transfer
from lth.models.network import Network
from lth.pruning.output_layer import transplanted_count
from lth.pruning.tickets import Round, reinitialized_ticket
from lth.training.task import Task
from tests.conftest import make_task

MODEL = 'resnet20'
OLD = make_task(MODEL, shape=(3, 8, 8)).network


@pytest.fixture(name='task', scope='module')
def of_four_classes() -> Task:
    return make_task(MODEL, shape=(3, 8, 8), seeds=(0, 2), length='1 epochs')


@pytest.fixture(name='source', scope='module')
def of_a_search(task) -> list[Round]:
    settings = Search.model_validate({
        'name': 'magnitude', 'rounds': 2, 'rates': 0.3, 'scope': 'global', 'rewind': '2 iterations'})
    return list(find_ticket(task, settings, ()))


def settings(source: list[Round], **over: object) -> Settings:
    kept = tuple(int(round_.ticket.mask[0].sum()) for round_ in source)
    return Settings.model_validate({
        'name': 'transfer', 'source': 'run', 'rounds': tuple(range(len(source))), 'kept': kept, 'shape': (3, 8, 8),
        'classes': 4} | over)


def test_a_transferred_ticket_is_unchanged_if_the_number_of_classes_is_the_same(task, source):
    rounds = list(transfer(task, settings(source), (), source=source))
    assert [round_.number for round_ in rounds] == [0, 1, 2]
    for round_, source_round in zip(rounds, source, strict=True):
        assert torch.equal(round_.ticket.mask, source_round.ticket.mask)
        assert torch.equal(round_.ticket.weights, source_round.ticket.weights)
        for name, buffer in source_round.ticket.buffers.items():
            assert torch.equal(round_.ticket.buffers[name], buffer)
        assert (source_round.ticket.iteration, round_.ticket.iteration, round_.trained.step) == (2, 0, task.steps)
        pruned = ~round_.ticket.mask
        assert round_.trained.weights[:, :pruned.shape[1]][pruned].abs().sum() == 0


def test_a_random_ticket_keeps_the_same_number_of_other_weights_anywhere_in_the_network(task, source):
    round_ = list(transfer(task, settings(source, ticket='random'), (), source=source))[2]
    prunable, mask = task.network.layout.prunable_count, round_.ticket.mask
    assert mask.sum(1).tolist() == source[2].ticket.mask.sum(1).tolist()
    assert torch.equal(round_.ticket.weights[:, :prunable] != 0, mask)
    # A ticket rewound to iteration 0 has the initial weights of its seed; a random ticket has those of no seed.
    own = torch.stack([task.network.initial_weights(seed) for seed in task.seeds])[:, :prunable]
    assert not (round_.ticket.weights[:, :prunable] == own)[mask].any()
    assert round_.ticket.weights[:, :prunable][mask].std().item() == pytest.approx(own[mask].std().item(), rel=0.1)
    slot = task.network.layout.prunable_slots[-1]
    density = float(mask.float().mean())
    shares = [float(mask_[:, slot.start:slot.stop].float().mean()) for mask_ in (source[2].ticket.mask, mask)]
    assert abs(shares[1] - density) < 0.05 < abs(shares[0] - density)


@pytest.mark.slow
@pytest.mark.parametrize('ticket', ['found', 'random'])
def test_a_transfer_resumed_after_any_round_equals_an_uninterrupted_one(task, source, ticket):
    transfer_settings = settings(source, ticket=ticket)
    whole = list(transfer(task, transfer_settings, (), source=source))
    for stopped in (1, 2):
        rest = list(transfer(task, transfer_settings, whole[:stopped], source=source))
        assert [round_.number for round_ in rest] == list(range(stopped, 3))
        for resumed, uninterrupted in zip(rest, whole[stopped:], strict=True):
            assert torch.equal(resumed.trained.weights, uninterrupted.trained.weights)


def test_signs_are_carried_on_the_new_magnitudes_of_the_target_and_the_mask_alone_on_all_new_weights(task, source):
    prunable, trained = task.network.layout.prunable_count, source[2].trained
    flipped = [replace(source[2], trained=replace(trained, weights=-trained.weights))]
    rounds = {carry: next(transfer(task, settings(source[2:], rounds=(2,), carry=carry), (), source=flipped))
              for carry in ('mask', 'signs', 'start-signs')}
    new = rounds['mask'].ticket.weights[:, :prunable]
    for carry, round_ in rounds.items():
        assert torch.equal(round_.ticket.mask, source[2].ticket.mask) and round_.ticket.iteration == 0
        assert torch.equal(round_.ticket.weights[:, :prunable].abs(), new.abs()), 'the same new magnitudes'
        assert not (round_.ticket.weights[:, :prunable] == source[2].ticket.weights[:, :prunable])[
            round_.ticket.mask].any()
        for name, buffer in round_.ticket.buffers.items():
            assert torch.equal(buffer, torch.stack([task.network.initial_buffers()[name]] * 2)), carry
    signed = {carry: round_.ticket.weights[:, :prunable].sign() for carry, round_ in rounds.items()}
    assert torch.equal(signed['signs'], -trained.weights[:, :prunable].sign())
    assert torch.equal(signed['start-signs'], source[2].ticket.weights[:, :prunable].sign())
    assert not torch.equal(signed['signs'], signed['start-signs'])


def test_an_output_layer_for_other_classes_is_new_and_dense_where_signs_are_carried(source):
    task = make_task(MODEL, shape=(3, 8, 8), seeds=(0, 2), length='1 epochs')
    network = Network.of(task.network.settings, (3, 8, 8), 7)
    task, layout = replace(task, network=network), network.layout
    kept = [transplanted_count(source[2].ticket.mask[0], OLD, network)]
    given = settings(source[2:], carry='signs', rounds=(2,), kept=kept)
    (ticket,) = (round_.ticket for round_ in transfer(task, given, (), source=source[2:]))
    output = next(slot for slot in layout.slots if slot.name == layout.output_name)
    new = reinitialized_ticket(task, 'reinit', 2).weights
    assert torch.equal(output.view(ticket.weights), output.view(new)) and ticket.mask[:, output.start:output.stop].all()
    first = layout.slots[0]
    assert torch.equal(first.view(ticket.weights).sign(), first.view(source[2].trained.weights).sign())
