"""Masks that are compared while a network trains."""
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.algorithms import imp, imp_settings
from lth.errors import LthError
from lth.pruning import masks
from lth.pruning.early_bird import MaskWatch, differing_weights
from lth.pruning.tickets import Round
from lth.training.loop import train
from lth.training.task import Task
from tests.algorithms.test_resume import compare_resumed_search
from tests.conftest import full_mask, initial_state, make_task
from tests.training.test_checkpoints import Interruption, Memory

SIZE, DENSITIES = 20_000, (0.5, 0.2, 0.05)


def watch(*densities: float, size: int = SIZE) -> MaskWatch:
    return MaskWatch([(0, size)], [(int(size * density),) for density in densities])


def search(task: Task, **over: object) -> list[Round]:
    settings = imp_settings.Settings.model_validate({'name': 'magnitude', 'rounds': 2, 'early_bird': 'levels'} | over)
    return list(imp.find_ticket(task, settings, ()))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_differing_weights_are_those_that_one_mask_keeps_and_the_other_does_not(pairs):
    first, second = (torch.tensor(column, dtype=torch.uint8) for column in zip(*pairs))
    expected = [int(((first > level) != (second > level)).sum()) for level in range(3)]
    assert differing_weights(first, second, 3) == expected


def test_random_masks_have_the_distance_of_chance():
    watched = watch(*DENSITIES)
    weights = torch.randn(2, SIZE, generator=torch.Generator().manual_seed(0))
    recent, first = watched.observe(weights[:1], None)
    assert first == (((), (), ()),)
    _, differing = watched.observe(weights[1:], recent)
    for (number,), chance in zip(differing[0], watched.masks.chance, strict=True):
        assert number / chance == pytest.approx(1, abs=0.05)


def test_the_masks_are_those_of_the_largest_magnitudes_in_each_part():
    weights = torch.randn(1, 130, generator=torch.Generator().manual_seed(1))
    watched = MaskWatch([(0, 30), (30, 100)], [(20, 35), (10, 7)])
    recent, _ = watched.observe(weights, None)
    for level, counts in enumerate(watched.counts):
        expected = masks.keep_best_per_part(
            weights[:, :100].abs(), torch.ones(1, 100, dtype=torch.bool), watched.parts, counts, seeds=(0,), number=0)
        assert torch.equal(recent[:, 0] > level, expected)
    assert watched.masks.kept == (55, 17)
    assert watched.masks.chance == pytest.approx((2 * 20 * 10 / 30 + 2 * 35 * 35 / 70, 2 * 10 * 20 / 30 + 14 * 63 / 70))


def test_at_most_the_last_four_masks_are_kept_and_the_latest_is_compared_first():
    watched, recent = watch(0.5, size=4), None
    rows = [[4., 3, 2, 1], [4, 1, 2, 3], [1, 2, 3, 4], [4, 3, 2, 1], [4, 3, 2, 1], [4, 3, 2, 1]]
    for row in rows:
        recent, differing = watched.observe(torch.tensor([row]), recent)
    assert recent is not None and recent.shape == (1, 4, 4)
    assert differing == (((0, 0, 4, 2),),)


def test_round_0_records_distances_and_its_weights_stay_the_same():
    task = make_task(seeds=(0, 1), length='2 epochs')
    watched, plain = search(task), search(task, early_bird='off')
    for one, other in zip(watched, plain, strict=True):
        assert torch.equal(one.trained.weights, other.trained.weights)
    dense, *tickets = watched
    assert dense.watched is not None and dense.watched.kept == tuple(
        int(ticket.ticket.mask[0].sum()) for ticket in tickets)
    numbers = [[len(row[0]) for row in measured.differing] for measured in dense.trained.history]
    assert numbers == [[0, 0], [1, 1], [2, 2]]
    assert all(measured.differing is None for ticket in tickets for measured in ticket.trained.history)
    assert all(measured.differing is None for measured in plain[0].trained.history)


def test_the_distances_are_those_of_the_masks_to_which_the_search_would_prune():
    task = make_task(length='2 epochs')
    dense, first, _ = search(task, scope='global')
    start = initial_state(task).weights[:, :task.network.layout.prunable_count].abs()
    count = int(first.ticket.mask.sum())
    before = masks.keep_best(start, torch.ones_like(first.ticket.mask), count, seeds=(0,))
    assert dense.trained.history[-1].differing[0][0][-1] == int((before != first.ticket.mask).sum())


@pytest.mark.parametrize('over', [
    {}, {'rewind': '5 iterations'}, {'rewind': '3 iterations', 'copies': 2}, {'early_bird': [0.1, 0.5]}], ids=str)
def test_watched_searches_resume_byte_for_byte(tmp_path, over):
    task = make_task(seeds=(0, 1), length='2 epochs')
    settings = imp_settings.Settings.model_validate({'name': 'magnitude', 'rounds': 2, 'early_bird': 'levels'} | over)
    assert compare_resumed_search(tmp_path, task, lambda past: imp.find_ticket(task, settings, past)) == 3


def test_the_rewind_point_does_not_change_what_is_compared():
    task = make_task(length='3 epochs', optimizer={'name': 'sgd', 'learning_rate': 0.1})
    without, with_rewinding = (search(task, rewind=f'{step} iterations')[0].trained.history for step in (0, 5))
    assert [measured.differing for measured in without] == [measured.differing for measured in with_rewinding]


@pytest.mark.parametrize('interrupt', [1, 5, 7, 12])
def test_an_interrupted_training_continues_with_the_masks_that_it_has_seen(interrupt):
    task = make_task()
    count = task.network.layout.prunable_count
    task = replace(task, watch=MaskWatch([(0, count)], [(count // 2,)]))
    memory = Memory(2, interrupt)
    with pytest.raises(Interruption):
        train(replace(task, checkpoints=memory), initial_state(task), until=task.steps, trainable=full_mask(task))
    resumed = train(replace(task, checkpoints=Memory(2, None, memory.saved)), initial_state(task), until=task.steps,
                    trainable=full_mask(task))
    expected = train(task, initial_state(task), until=task.steps, trainable=full_mask(task))
    assert resumed.history == expected.history and torch.equal(resumed.recent, expected.recent)


@pytest.mark.parametrize(('length', 'every', 'measured'), [
    ('3 epochs', '1 epoch', '0, 5, 10, 15'), ('6 epochs', '9 epochs', '0, 30'),
    ('3 iterations', '1 iteration', '0, 1, 2, 3')])
def test_a_training_with_fewer_measurements_than_a_mask_is_compared_with_is_refused(length, every, measured):
    task = make_task(length=length, measure_every=every)
    settings = imp_settings.Settings.model_validate({'name': 'magnitude', 'rounds': 2, 'early_bird': 'levels'})
    with pytest.raises(LthError, match=f'round 0 is measured only . times, at iterations {measured}\\. Measure more'):
        settings.check(task.training, task.steps_per_epoch)


def test_a_training_with_one_mask_that_can_be_compared_is_accepted():
    task = make_task(length='4 epochs')
    imp_settings.Settings.model_validate({'name': 'magnitude', 'rounds': 2, 'early_bird': 'levels'}).check(
        task.training, task.steps_per_epoch)
    assert len(search(task)[0].trained.history[-1].differing[0][0]) == 4


@pytest.mark.parametrize(('over', 'says'), [
    ({'early_bird': 'levels', 'rounds': 0}, 'there are 0 prunings'), ({'early_bird': []}, 'at least 1'),
    ({'early_bird': [1.]}, 'less than 1'), ({'early_bird': [0]}, 'greater than 0'), ({'early_bird': 'on'}, 'levels')])
def test_densities_that_cannot_be_watched_are_refused(over, says):
    with pytest.raises(ValueError, match=says):
        imp_settings.Settings.model_validate({'name': 'magnitude'} | over)
