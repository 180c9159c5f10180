"""Controls change what they claim and nothing else; a claim that is not true is an error."""
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from lth.algorithms.imp_settings import Settings as Imp
from lth.errors import LthError
from lth.pruning import masks
from lth.pruning.changed_tickets import apply_control, control_obstacle
from lth.pruning.controls import CONTROLS
from lth.pruning.ticket_differences import compare_tickets
from lth.pruning.tickets import Ticket, dense_ticket
from lth.training.state import State
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


def trained_state(task: Task = TASK) -> State:
    """The weights of a tenth of a dense network after a training that flips a third of the signs."""

    weights = ticket(task=task)[1].weights.clone()
    weights[:, ::3] *= -2
    return State(weights, {}, task.steps)


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
    def tickets(task: Task) -> tuple[Ticket, Ticket]:
        origin, gem = ticket(task=task)
        return origin, replace(gem, weights=2 * gem.weights) if CONTROLS.find(name).needs_trained_start else gem
    together = apply_control(name, TASK, *tickets(TASK), trained=trained_state(TASK))
    alone = make_task(seeds=(7,))
    single = apply_control(name, alone, *tickets(alone), trained=trained_state(alone))
    assert torch.equal(together.mask[1], single.mask[0]) and torch.equal(together.weights[1], single.weights[0])
    again = apply_control(name, TASK, *tickets(TASK), trained=trained_state(TASK))
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


@pytest.mark.parametrize(('name', 'source'), [('signs', 'trained'), ('start-signs', 'start')])
def test_signs_are_kept_on_the_magnitudes_that_the_control_reinit_draws(name, source):
    origin, gem = ticket()
    reference = trained_state().weights if source == 'trained' else gem.weights
    signed = apply_control(name, TASK, origin, gem, (2,), trained=trained_state())
    drawn = apply_control('reinit', TASK, origin, gem, (2,))
    count = LAYOUT.prunable_count
    assert torch.equal(signed.mask, gem.mask) and signed.iteration == 0
    assert torch.equal(signed.weights[:, :count], drawn.weights[:, :count].abs() * reference[:, :count].sign())
    assert torch.equal(signed.weights[:, count:], drawn.weights[:, count:])
    flipped = compare_tickets(LAYOUT, origin, gem, signed)[0].signs
    assert (flipped == 0) == (source == 'start'), 'a third of the signs were flipped by training'


def test_signs_of_layers_that_are_kept_out_of_pruning_are_kept_too():
    task = make_task(keep_out=('output',))
    origin = dense_ticket(task)
    state = State(-origin.weights, {}, task.steps)
    signed, slot = apply_control('signs', task, origin, origin, trained=state), task.network.layout.slots[2]
    assert slot.kind == 'output' and not slot.prunable
    part = slice(slot.start, slot.stop)
    assert torch.equal(signed.weights[:, part].sign(), state.weights[:, part].sign())


def test_signs_with_normalization_start_with_the_trained_scales_and_shifts_and_new_statistics():
    task = make_task('resnet20', shape=(3, 8, 8))
    origin = dense_ticket(task)
    state = State(origin.weights + 0.01, {name: buffer + 1 for name, buffer in origin.buffers.items()}, task.steps)
    plain, signed = (apply_control(name, task, origin, origin, trained=state) for name in ('signs', 'signs-norm'))
    values, trained, drawn = (task.network.layout.unpack(weights[0])
                              for weights in (signed.weights, state.weights, plain.weights))
    normalized = [name for pair in task.network.scales for name in pair]
    assert len(normalized) == 2 * 21
    for name, value in values.items():
        assert torch.equal(value, (trained if name in normalized else drawn)[name])
    assert all(torch.equal(signed.buffers[name], buffer) for name, buffer in origin.buffers.items())


def test_controls_of_trained_signs_need_a_network_that_was_trained():
    gem = SimpleNamespace(trains_weights=False, name='gem-miner', alters_weights=False)
    assert 'start-signs keeps' in control_obstacle('signs', gem, TASK.network)
    assert control_obstacle('start-signs', gem, TASK.network) is None
    search = SimpleNamespace(trains_weights=True, name='magnitude', alters_weights=False)
    assert control_obstacle('signs', search, TASK.network) is None
    assert 'no normalization layers with a scale' in control_obstacle('signs-norm', search, TASK.network)
    with pytest.raises(LthError, match='needs the weights to which the ticket was trained'):
        apply_control('signs', TASK, *ticket())


def test_initial_weights_are_those_of_the_rewind_point_and_only_for_tickets_that_start_elsewhere():
    origin, gem = ticket()
    continued = replace(gem, weights=gem.weights + masks.apply_mask(gem.mask, torch.ones_like(gem.weights)))
    changed = apply_control('initial-weights', TASK, origin, continued)
    assert torch.equal(changed.weights, gem.weights) and torch.equal(changed.mask, gem.mask)
    with pytest.raises(LthError, match='"weights differ" is not true'):
        apply_control('initial-weights', TASK, origin, gem)
    rewound, continues = (Imp.model_validate({'name': 'magnitude', 'retrain': retrain})
                          for retrain in ('weight-rewinding', 'learning-rate-rewinding'))
    assert 'already start from the weights of the rewind point' in control_obstacle(
        'initial-weights', rewound, TASK.network)
    assert control_obstacle('initial-weights', continues, TASK.network) is None


def test_magnitudes_of_another_distribution_are_detected_where_signs_are_all_positive():
    origin, gem = ticket()
    positive = replace(gem, weights=gem.weights.abs())
    again = apply_control('reinit', TASK, origin, gem)
    drawn = replace(again, weights=again.weights.abs())
    difference = compare_tickets(LAYOUT, origin, positive, drawn)[0]
    assert difference.distribution < 1e-6 < 1e-3 < difference.magnitudes
    assert compare_tickets(LAYOUT, origin, gem, positive)[0].magnitudes < 1e-6, 'a ticket keeps the largest weights'
