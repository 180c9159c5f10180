"""Controls change what they claim and nothing else; a claim that is not true is an error."""
from dataclasses import replace

import pytest
import torch

from lth.errors import LthError
from lth.pruning import masks
from lth.pruning.controls import CONTROLS, apply_control
from lth.pruning.ticket_differences import compare_tickets
from lth.pruning.tickets import Ticket, dense_ticket
from lth.training.task import Task
from tests.conftest import make_task

TASK = make_task(seeds=(0, 7))
LAYOUT = TASK.network.layout


def ticket(density: float = 0.1, task: Task = TASK) -> tuple[Ticket, Ticket]:
    """A dense network and a tenth of it: its largest weights."""

    origin = dense_ticket(task)
    count = task.network.layout.prunable_count
    mask = masks.keep_best(origin.weights[:, :count].abs(), origin.mask, int(density * count), seeds=task.seeds)
    return origin, replace(origin, mask=mask, weights=masks.apply_mask(mask, origin.weights))


def layer_counts(mask: torch.Tensor) -> list[list[int]]:
    return [part.flatten(1).sum(1).tolist() for part in LAYOUT.unpack(mask).values()]


@pytest.mark.parametrize('name', ['shuffle-mask', 'permute-mask', 'smart-ratio', 'erk'])
def test_a_shuffled_mask_keeps_the_count_and_has_the_weights_of_the_dense_network(name):
    origin, gem = ticket()
    control = apply_control(name, TASK, origin, gem)
    assert control.mask.sum(1).tolist() == gem.mask.sum(1).tolist()
    assert (control.mask & ~gem.mask).any(1).all()
    assert torch.equal(control.weights, masks.apply_mask(control.mask, origin.weights))
    assert (layer_counts(control.mask) == layer_counts(gem.mask)) == (name == 'shuffle-mask')


def test_reinitialized_weights_differ_under_the_same_mask_with_the_layers_standard_deviation():
    origin, gem = ticket()
    again = apply_control('reinit', TASK, origin, gem)
    assert torch.equal(again.mask, gem.mask) and not again.weights[:, :LAYOUT.prunable_count][~gem.mask].any()
    for slot in LAYOUT.prunable_slots:
        part = slice(slot.start, slot.stop)
        kept = gem.mask[0, part]
        before, after = gem.weights[0, part][kept], again.weights[0, part][kept]
        assert (before != after).all()
        # The ticket keeps the largest weights; re-initialized ones are distributed as the complete layer.
        assert after.std() < 0.8 * before.std()
        assert after.std().item() == pytest.approx(origin.weights[0, part].std().item(), rel=0.25)


def test_shuffled_weights_are_the_same_values_at_other_positions_of_their_layer():
    origin, gem = ticket()
    shuffled = apply_control('shuffle-weights', TASK, origin, gem)
    assert torch.equal(shuffled.mask, gem.mask) and not torch.equal(shuffled.weights, gem.weights)
    for slot in LAYOUT.prunable_slots:
        for before, after in zip(gem.weights, shuffled.weights, strict=True):
            part = slice(slot.start, slot.stop)
            assert torch.equal(before[part].sort().values, after[part].sort().values)


def test_the_dense_control_is_the_dense_network():
    origin, gem = ticket()
    dense = apply_control('dense', TASK, origin, gem)
    assert dense.mask.all() and torch.equal(dense.weights, origin.weights)


@pytest.mark.parametrize('name', CONTROLS.names())
def test_a_control_of_a_seed_does_not_depend_on_the_other_seeds(name):
    together = apply_control(name, TASK, *ticket())
    alone = make_task(seeds=(7,))
    single = apply_control(name, alone, *ticket(task=alone))
    assert torch.equal(together.mask[1], single.mask[0]) and torch.equal(together.weights[1], single.weights[0])
    again = apply_control(name, TASK, *ticket())
    assert torch.equal(again.mask, together.mask) and torch.equal(again.weights, together.weights)


@pytest.mark.parametrize('name', ['shuffle-mask', 'permute-mask', 'smart-ratio', 'erk'])
def test_a_control_that_would_change_nothing_is_refused(name):
    origin = dense_ticket(TASK)
    with pytest.raises(LthError, match=f'The control {name} cannot be used for seed 0, .*"mask differs"'):
        apply_control(name, TASK, origin, origin)


def test_shuffling_equal_weights_is_refused():
    origin, gem = ticket()
    constant = replace(gem, weights=masks.apply_mask(gem.mask, torch.full_like(gem.weights, 0.3)))
    with pytest.raises(LthError, match='"weights differ" is not true'):
        apply_control('shuffle-weights', TASK, origin, constant)


def test_weights_of_another_distribution_are_detected():
    origin, gem = ticket()
    wider = replace(gem, weights=masks.apply_mask(gem.mask, 3 * origin.weights.roll(17, 1)))
    same = replace(gem, weights=masks.apply_mask(gem.mask, origin.weights.roll(LAYOUT.prunable_slots[0].size // 2, 1)))
    assert compare_tickets(LAYOUT, origin, gem, wider)[0].distribution < 1e-6
    reinitialized = apply_control('reinit', TASK, origin, gem)
    assert compare_tickets(LAYOUT, origin, gem, reinitialized)[0].distribution > 1e-3
    assert compare_tickets(LAYOUT, origin, gem, same)[0].weights > 0


def test_differences_between_tickets_equal_a_count_by_hand():
    task = make_task()
    origin, gem = ticket(task=task)
    mask, weights = gem.mask.clone(), gem.weights.clone()
    kept, pruned = mask[0].nonzero().flatten().tolist(), (~mask[0]).nonzero().flatten().tolist()
    mask[0, kept[:3]], mask[0, pruned[:3]] = False, True
    weights[0, kept[:3]] = 0.
    weights[0, kept[5]] *= 2
    weights[0, kept[6]] *= -1
    difference = compare_tickets(LAYOUT, origin, gem, replace(gem, mask=mask, weights=weights))[0]
    assert (difference.positions, difference.weights, difference.signs, difference.kept) == (3, 2, 1, len(kept))
    assert difference.layer_counts_kept and not difference.values_kept and difference.emptied == ()


def test_a_layer_without_weights_is_listed_as_emptied():
    task = make_task()
    origin, gem = ticket(task=task)
    slot = LAYOUT.prunable_slots[2]
    mask = gem.mask.clone()
    mask[:, slot.start:slot.stop] = False
    sparser = replace(gem, mask=mask, weights=masks.apply_mask(mask, gem.weights))
    difference = compare_tickets(LAYOUT, origin, gem, sparser)[0]
    assert difference.emptied == ('output.weight',) and not difference.layer_counts_kept


def test_seeds_with_different_counts_are_each_compared_with_their_own_ticket():
    origin, gem = ticket()
    mask = gem.mask.clone()
    mask[1, gem.mask[1].nonzero()[:50]] = False
    unequal = replace(gem, mask=mask, weights=masks.apply_mask(mask, gem.weights))
    for name in ('original', 'shuffle-mask', 'erk'):
        assert apply_control(name, TASK, origin, unequal).mask.sum(1).tolist() == mask.sum(1).tolist()
