"""Iterative magnitude pruning: exact counts, exact rewinds, and every setting's effect."""
import itertools
from typing import Any

import psutil
import pytest
import torch
from pydantic import ValidationError

from lth import rng
from lth.algorithms.imp import find_ticket
from lth.algorithms.imp_settings import Settings, layer_counts
from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.pruning.criteria import CRITERIA, CriterionContext
from lth.pruning.mask_actions import MASK_ACTIONS
from lth.pruning.masks import remaining_count
from lth.pruning.tickets import Round, dense_ticket, train_ticket
from lth.training.task import Task
from tests.conftest import ADAM, SGD, make_task

LENET = [
    80.04, 64.06, 51.28, 41.05, 32.87, 26.32, 21.07, 16.88, 13.52, 10.83,
    8.68, 6.95, 5.57, 4.47, 3.58, 2.87, 2.31, 1.85, 1.49, 1.19]
BY_KIND = {'convolution': 0.1, 'dense': 0.2, 'output': 0.1}


def settings(**over: Any) -> Settings:
    return Settings.model_validate({'name': 'magnitude', 'rounds': 2, 'rates': 0.2} | over)


def find_rounds(task: Task, **over: Any) -> list[Round]:
    return list(find_ticket(task, settings(**over), ()))


def densities(model: str, shape: tuple[int, int, int], **over: Any) -> list[float]:
    search = settings(rounds=20, **over)
    layout = Network.of(settings_class(model)(name=model), shape, 10, search.keep_out).layout
    return [100 * layout.density(sum(counts)) for counts in layer_counts(layout, search)]


def test_densities_of_lenet_equal_the_paper():
    assert densities('lenet-300-100', (1, 28, 28), rates=BY_KIND)[1:] == pytest.approx(LENET, abs=0.02)


@pytest.mark.parametrize(('model', 'convolution', 'levels'), [
    ('conv-2', 0.1, {11: 8.81, 14: 4.57}), ('conv-4', 0.1, {11: 11.06, 12: 9.18}),
    ('conv-6', 0.15, {7: 26.61, 10: 15.29, 12: 10.62})])
def test_densities_of_convolutional_networks_equal_the_paper(model, convolution, levels):
    percents = densities(model, (3, 32, 32), rates=BY_KIND | {'convolution': convolution})
    assert {number: percents[number] for number in levels} == pytest.approx(levels, abs=0.02)


def test_densities_of_vgg19_equal_the_paper():
    percents = densities('vgg19', (3, 32, 32), scope='global', keep_out=('output',))
    assert [percents[number] for number in (12, 15, 19)] == pytest.approx([6.90, 3.54, 1.47], abs=0.02)


def test_densities_of_resnet20_equal_the_paper():
    percents = densities('resnet20', (3, 32, 32), scope='global', keep_out=('output', 'shortcut'))
    assert [percents[number] for number in (4, 6, 7, 10)] == pytest.approx([41.66, 27.09, 21.91, 11.79], abs=0.02)


@pytest.mark.parametrize('scope', ['layer', 'global'])
@pytest.mark.parametrize('density', [0.1, 0.05, 0.01])
def test_with_a_density_the_last_round_keeps_its_share_and_every_round_prunes_the_same_share(scope, density):
    layout = Network.of(settings_class('lenet-300-100')(name='lenet-300-100'), (1, 28, 28), 10).layout
    counts = layer_counts(layout, settings(rounds=4, density=density, scope=scope))
    totals = [sum(count) for count in counts]
    assert (totals[0], totals[-1]) == (266_200, int(266_200 * density))
    shares = [after / before for before, after in itertools.pairwise(totals)]
    assert shares == pytest.approx([density ** 0.25] * 4, rel=1e-3)
    assert all(later <= count for pair in itertools.pairwise(counts) for count, later in zip(*pair))


def test_a_density_without_prunings_or_with_too_few_weights_is_refused():
    with pytest.raises(ValidationError, match='set rounds to 1 or more'):
        settings(rounds=0, density=0.1)
    layout = Network.of(settings_class('lenet-300-100')(name='lenet-300-100'), (1, 28, 28), 10).layout
    with pytest.raises(LthError, match='at least 1.2e-05'):
        layer_counts(layout, settings(density=1e-6))


@pytest.mark.parametrize('scope', ['layer', 'global'])
@pytest.mark.parametrize('shots', ['iterative', 'one-shot'])
def test_every_mask_keeps_exactly_the_planned_count_of_the_remaining_weights(scope, shots):
    task = make_task(seeds=(0, 1), keep_out=('output',))
    plan = settings(rounds=3, scope=scope, shots=shots)
    rounds = list(find_ticket(task, plan, ()))
    kept = plan.kept_counts(task.network.layout, task.training, task.steps_per_epoch)
    assert [round_.ticket.mask.sum(1).tolist() for round_ in rounds] == [[count, count] for count in kept]
    for before, after in zip(rounds, rounds[1:]):
        assert not (after.ticket.mask & ~before.ticket.mask).any()


def test_each_layer_is_pruned_at_the_rate_of_its_kind():
    task = make_task('conv-2', shape=(3, 8, 8))
    _, pruned = find_rounds(task, rounds=1, rates={'convolution': 0.1, 'dense': 0.2, 'output': 0.5})
    masks = task.network.layout.unpack(pruned.ticket.mask[0])
    left = {name: int(mask.sum()) / mask.numel() for name, mask in masks.items()}
    expected = {
        'conv1.weight': 0.9, 'conv2.weight': 0.9, 'dense1.weight': 0.8, 'dense2.weight': 0.8, 'output.weight': 0.5}
    assert left == pytest.approx(expected, abs=1e-3)


def test_global_pruning_ranks_all_layers_together():
    task = make_task()
    dense, first = find_rounds(task, rounds=1, scope='global')
    final = dense.trained.weights[0, :task.network.layout.prunable_count].abs()
    assert final[first.ticket.mask[0]].min() >= final[~first.ticket.mask[0]].max()


def test_the_smallest_remaining_weights_after_training_are_pruned():
    task = make_task()
    _, first, second = find_rounds(task)
    slot = task.network.layout.prunable_slots[0]
    before, after = (round_.ticket.mask[0, slot.start:slot.stop] for round_ in (first, second))
    final = first.trained.weights[0, slot.start:slot.stop].abs()
    assert final[after].min() >= final[before & ~after].max()


@pytest.mark.parametrize(('model', 'optimizer'), [
    ('lenet-300-100', ADAM), pytest.param('lenet-300-100', SGD, marks=pytest.mark.slow), ('conv-2', ADAM),
    pytest.param('conv-2', SGD, marks=pytest.mark.slow), pytest.param('resnet20', ADAM, marks=pytest.mark.slow),
    ('resnet20', SGD)], ids=lambda value: value if isinstance(value, str) else value['name'])
def test_after_a_rewind_kept_weights_equal_the_rewind_point_and_pruned_weights_are_zero(model, optimizer):
    task = make_task(model, shape=(3, 8, 8), optimizer=optimizer, length='2 epochs')
    prunable = task.network.layout.prunable_count
    rounds = find_rounds(task, rounds=2, rewind='3 iterations')
    start = rounds[0].ticket
    assert start.iteration == 3 and not torch.equal(start.weights, dense_ticket(task).weights)
    for round_ in rounds[1:]:
        mask = round_.ticket.mask
        assert torch.equal(round_.ticket.weights[:, prunable:], start.weights[:, prunable:])
        assert torch.equal(round_.ticket.weights[:, :prunable][mask], start.weights[:, :prunable][mask])
        assert round_.ticket.weights[:, :prunable][~mask].abs().sum() == 0
        assert all(torch.equal(round_.ticket.buffers[name], buffer) for name, buffer in start.buffers.items())
        assert round_.trained.weights[:, :prunable][~mask].abs().sum() == 0
        assert round_.trained.history[0].iteration == 3
    assert [row.iteration for row in rounds[0].trained.history] == [0, 3, 5, 10]


def test_the_rewind_point_is_not_changed_by_any_number_of_rounds():
    task = make_task('resnet20', shape=(3, 8, 8), length='1 epochs')
    rounds = find_ticket(task, settings(rounds=3), ())
    start = next(rounds).ticket
    weights, buffers = start.weights.clone(), {name: buffer.clone() for name, buffer in start.buffers.items()}
    assert len(list(rounds)) == 3
    assert torch.equal(start.weights, weights)
    assert all(torch.equal(start.buffers[name], buffer) for name, buffer in buffers.items())


def test_without_a_rewind_tickets_start_from_the_initial_weights():
    task = make_task()
    assert torch.equal(find_rounds(task)[0].ticket.weights, dense_ticket(task).weights)


def test_a_saved_ticket_trains_to_the_same_weights():
    task = make_task()
    last = find_rounds(task)[-1]
    assert torch.equal(train_ticket(task, last.ticket).weights, last.trained.weights)


def test_one_shot_prunes_every_ticket_from_the_dense_network():
    task = make_task()
    rounds = find_rounds(task, shots='one-shot', scope='global')
    final = rounds[0].trained.weights[0, :task.network.layout.prunable_count].abs()
    for round_ in rounds[1:]:
        assert final[round_.ticket.mask[0]].min() >= final[~round_.ticket.mask[0]].max()
    assert not torch.equal(rounds[2].ticket.mask, find_rounds(task, scope='global')[2].ticket.mask)


def test_strategy_2_continues_training_and_rewinds_only_in_the_last_round():
    task = make_task('resnet20', shape=(3, 8, 8), length='1 epochs')
    dense, middle, last = find_rounds(task, retrain='strategy-2')
    prunable, mask = task.network.layout.prunable_count, middle.ticket.mask
    assert torch.equal(middle.ticket.weights[:, :prunable][mask], dense.trained.weights[:, :prunable][mask])
    assert torch.equal(middle.ticket.weights[:, prunable:], dense.trained.weights[:, prunable:])
    assert torch.equal(middle.ticket.buffers['stem.1.running_mean'], dense.trained.buffers['stem.1.running_mean'])
    assert middle.ticket.weights[:, :prunable][~mask].abs().sum() == 0
    left = last.ticket.mask
    assert torch.equal(last.ticket.weights[:, :prunable][left], dense.ticket.weights[:, :prunable][left])


def test_a_rewind_iteration_after_the_end_of_training_is_refused():
    task = make_task()
    says = r'algorithm.rewind: 3 epochs \(iteration 15\) is not before the end of training, 3 epochs'
    with pytest.raises(LthError, match=says):
        settings(rewind='3 epochs').check(task.training, task.steps_per_epoch)


@pytest.mark.parametrize(('key', 'kind'), [
    ('criterion', 'criterion'), ('mask_1_action', 'mask-1 action'), ('mask_0_action', 'mask-0 action')])
def test_a_misspelled_name_is_refused_before_training(key, kind):
    task = make_task()
    with pytest.raises(LthError, match=f"Unknown {kind} 'magnitud"):
        settings(**{key: 'magnitudo'}).check(task.training, task.steps_per_epoch)


@pytest.mark.parametrize('criterion', CRITERIA.names())
@pytest.mark.parametrize('scope', ['layer', 'global'])
def test_every_criterion_keeps_exactly_the_best_of_each_layer_or_of_all_layers(criterion, scope):
    task = make_task(seeds=(3,))
    dense, first = find_rounds(task, rounds=1, criterion=criterion, scope=scope)
    prunable, mask = task.network.layout.prunable_count, first.ticket.mask[0]
    slots = task.network.layout.prunable_slots if scope == 'layer' else [slice(0, prunable)]
    for layer, slot in enumerate(slots):
        part = slice(slot.start, slot.stop)
        kept = mask[part]
        context = CriterionContext(int(kept.sum()), rng.generator(3, 'criterion', 1, layer))
        assert context.count == remaining_count(len(kept), 0.2)
        initial, final = (weights[0, part] for weights in (dense.ticket.weights, dense.trained.weights[:, :prunable]))
        scores = CRITERIA.find(criterion)(initial, final, context)
        assert scores[kept].min() >= scores[~kept].max()


def test_another_criterion_gives_another_mask():
    # Large steps, so that large weights change sign too.
    task = make_task(optimizer=ADAM | {'learning_rate': 0.02})
    masks = [find_rounds(task, rounds=1, criterion=name)[1].ticket.mask for name in CRITERIA.names()]
    assert all(not torch.equal(first, second) for first, second in itertools.combinations(masks, 2))


def test_movement_is_measured_from_the_start_of_the_round():
    task = make_task()
    _, first, second = find_rounds(task, criterion='movement', mask_1_action='reinitialize', scope='global')
    before, after = first.ticket.mask[0], second.ticket.mask[0]
    moved = (first.trained.weights - first.ticket.weights)[0, :task.network.layout.prunable_count].abs()
    assert moved[after].min() >= moved[before & ~after].max()


@pytest.mark.parametrize('action', [name for name in MASK_ACTIONS.mask_1.names() if name != 'rewind'])
def test_a_mask_1_action_changes_only_kept_weights_with_new_random_numbers_in_every_round(action):
    task = make_task('conv-2', shape=(3, 8, 8), seeds=(0, 5), length='1 epochs')
    prunable = task.network.layout.prunable_count
    dense, first, second = find_rounds(task, mask_1_action=action, rewind='2 iterations')
    for round_ in (first, second):
        mask, weights = round_.ticket.mask, round_.ticket.weights[:, :prunable]
        same = weights[mask] == dense.ticket.weights[:, :prunable][mask]
        assert same.float().mean() < 0.1 and weights[~mask].abs().sum() == 0
        assert torch.equal(round_.ticket.weights[:, prunable:], dense.ticket.weights[:, prunable:])
        if 'sign' in action:
            assert torch.equal(weights[mask].signbit(), dense.ticket.weights[:, :prunable][mask].signbit())
    if action != 'constant-keeping-sign':
        both = first.ticket.mask & second.ticket.mask
        assert not torch.equal(first.ticket.weights[:, :prunable][both], second.ticket.weights[:, :prunable][both])


def test_reinitialized_weights_have_the_initializers_standard_deviation_in_each_layer():
    task = make_task('conv-2', shape=(3, 8, 8), length='1 epochs')
    _, first = find_rounds(task, rounds=1, mask_1_action='reinitialize')
    for slot in task.network.layout.prunable_slots:
        weights, mask = (vector[0, slot.start:slot.stop] for vector in (first.ticket.weights, first.ticket.mask))
        drawn = slot.view(task.network.initial_weights(9)).std()
        assert weights[mask].std() == pytest.approx(float(drawn), rel=0.1)


def test_constants_are_the_standard_deviation_of_the_initial_weights_even_after_a_late_rewind():
    task = make_task(length='1 epochs')
    _, first = find_rounds(task, rounds=1, mask_1_action='constant', rewind='2 iterations')
    for slot in task.network.layout.prunable_slots:
        weights, mask = (vector[0, slot.start:slot.stop] for vector in (first.ticket.weights, first.ticket.mask))
        std = slot.view(task.network.initial_weights(0)).square().mean().sqrt()
        assert torch.allclose(weights[mask].abs(), std) and 0.4 < (weights[mask] > 0).float().mean() < 0.6


@pytest.mark.parametrize('action', MASK_ACTIONS.mask_0.names())
@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=['adam', 'sgd'])
def test_pruned_weights_stay_frozen_at_zero_or_the_rewind_point(action, optimizer):
    task = make_task(seeds=(0, 1), optimizer=optimizer)
    prunable = task.network.layout.prunable_count
    dense, *rounds = find_rounds(task, mask_0_action=action, rewind='2 iterations')
    start, before = dense.ticket.weights[:, :prunable], dense
    for round_ in rounds:
        weights, now = round_.ticket.weights[:, :prunable], before.ticket.mask & ~round_.ticket.mask
        smaller = before.trained.weights[:, :prunable].abs() < start.abs()
        frozen = {'zero': now & ~now, 'freeze': now, 'away-from-zero': now & smaller}.get(action, now & ~smaller)
        if action == 'random-zero':
            assert int((weights[now] == 0).sum()) == int(smaller[now].sum())
            assert bool(((weights == 0) | (weights == start))[now].all())
            assert not torch.equal(weights[now] == 0, smaller[now])
        else:
            assert torch.equal(weights[now], start.where(frozen, 0)[now])
        kept = start.masked_fill(smaller, 0) if action == 'toward-zero-all' else start
        assert torch.equal(weights[round_.ticket.mask], kept[round_.ticket.mask])
        assert torch.equal(weights[~before.ticket.mask], before.trained.weights[:, :prunable][~before.ticket.mask])
        assert torch.equal(weights[~round_.ticket.mask], round_.trained.weights[:, :prunable][~round_.ticket.mask])
        before = round_


@pytest.mark.parametrize('retrain', ['learning-rate-rewinding', 'fine-tuning'])
def test_trained_weights_continue_to_the_last_round(retrain):
    task = make_task('resnet20', shape=(3, 8, 8), length='1 epochs')
    prunable = task.network.layout.prunable_count
    rounds = find_rounds(task, retrain=retrain, rewind='2 iterations')
    for before, round_ in zip(rounds, rounds[1:]):
        mask = round_.ticket.mask
        assert torch.equal(round_.ticket.weights[:, :prunable], before.trained.weights[:, :prunable] * mask)
        assert torch.equal(round_.ticket.weights[:, prunable:], before.trained.weights[:, prunable:])
        assert torch.equal(round_.ticket.buffers['stem.1.running_mean'], before.trained.buffers['stem.1.running_mean'])
        assert round_.trained.history[0].iteration == round_.ticket.iteration == 2


def test_learning_rate_rewinding_replays_the_schedule_and_fine_tuning_keeps_its_last_rate():
    schedule = {'name': 'multistep', 'milestones': ['4 iterations'], 'factor': 0.01}
    task = make_task(optimizer={'name': 'sgd', 'learning_rate': 0.1}, schedule=schedule)
    first_rounds = {}
    for retrain in ('learning-rate-rewinding', 'fine-tuning'):
        _, first = find_rounds(task, rounds=1, retrain=retrain)
        assert first.trained.step == 15
        first_rounds[retrain] = first
    replayed, tuned = first_rounds.values()
    assert torch.equal(train_ticket(task, replayed.ticket).weights, replayed.trained.weights)
    slow = make_task(optimizer={'name': 'sgd', 'learning_rate': 0.001})
    assert torch.allclose(train_ticket(slow, tuned.ticket).weights, tuned.trained.weights, atol=1e-7)
    assert not torch.allclose(tuned.trained.weights, replayed.trained.weights, atol=1e-4)


def test_fine_tuning_with_a_final_learning_rate_of_zero_is_refused():
    task = make_task(schedule={'name': 'cosine'})
    with pytest.raises(LthError, match='a cosine schedule ends near 0, where nothing is learned'):
        settings(retrain='fine-tuning').check(task.training, task.steps_per_epoch)


def test_one_shot_with_learning_rate_rewinding_continues_from_the_dense_networks_trained_weights():
    task = make_task()
    dense, first, second = find_rounds(task, shots='one-shot', retrain='learning-rate-rewinding')
    prunable = task.network.layout.prunable_count
    for round_ in (first, second):
        mask = round_.ticket.mask
        assert torch.equal(round_.ticket.weights[:, :prunable][mask], dense.trained.weights[:, :prunable][mask])


@pytest.mark.parametrize(('over', 'says'), [
    ({'mask_1_action': 'reshuffle', 'retrain': 'fine-tuning'}, 'weights are never rewound'),
    ({'mask_1_action': 'constant', 'retrain': 'learning-rate-rewinding'}, 'weights are never rewound'),
    ({'mask_0_action': 'toward-zero-all', 'retrain': 'strategy-2'}, 'sets kept weights to 0')])
def test_an_action_that_needs_a_rewind_is_refused_without_one(over, says):
    with pytest.raises(ValidationError, match=says):
        settings(**over)


@pytest.mark.slow
def test_memory_is_flat_over_twenty_rounds():
    task = make_task('conv-2', shape=(3, 16, 16), length='1 epochs')
    resident = []
    for _ in find_ticket(task, settings(rounds=20), ()):
        resident.append(psutil.Process().memory_info().rss / 2 ** 20)
    # A round of this network is 1.1 million numbers: 4.5 MiB for its weights, as much again for each vector of Adam's.
    assert max(resident[8:]) - max(resident[4:8]) < 10
