"""Lottery Pools: trained tickets interpolated with those of other rounds."""
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.algorithms import imp, imp_settings
from lth.algorithms.retraining import pool
from lth.pruning.tickets import Round
from lth.training.loop import measure
from lth.training.state import State
from lth.training.task import Task
from tests.algorithms.test_resume import compare_resumed_search
from tests.conftest import make_task

SEEDS = (0, 3)


def search(task: Task, **over: object) -> list[Round]:
    settings = imp_settings.Settings.model_validate({'name': 'magnitude', 'rounds': 2} | over)
    return list(imp.find_ticket(task, settings, ()))


def pool_settings(source: list[Round], **over: object) -> pool.Settings:
    kept = [int(round_.ticket.mask[0].sum()) for round_ in source]
    return pool.Settings.model_validate(
        {'name': 'pool', 'source': 'run', 'levels': len(source), 'rounds': list(range(len(source))), 'kept': kept}
        | over)


def pooled(task: Task, source: list[Round], **over: object) -> list[Round]:
    return list(pool.pool_tickets(task, pool_settings(source, **over), (), source=source))


def accuracies(task: Task, state: State) -> tuple[float, ...]:
    return measure(task, state).validation.accuracy


@pytest.fixture(name='task', scope='module')
def of_two_seeds() -> Task:
    return make_task(seeds=SEEDS, length='1 epoch', images=200, data={'validation': 100})


@pytest.fixture(name='source', scope='module')
def of_a_search(task) -> list[Round]:
    return search(task, scope='global', retrain='learning-rate-rewinding', rewind='1 iterations')


@given(st.integers(2, 30).flatmap(lambda levels: st.tuples(st.integers(0, levels - 1), st.just(levels))))
def test_candidates_are_all_other_rounds_by_distance_with_the_denser_one_first(pair):
    number, levels = pair
    found = pool.candidates(number, levels)
    assert sorted([*found, number]) == list(range(levels))
    assert found == sorted(found, key=lambda other: (abs(other - number), other))


@pytest.mark.parametrize('scope', ['global', 'layer'])
def test_pooled_tickets_keep_exactly_as_many_weights_and_are_never_worse_on_validation_images(task, source, scope):
    improved = 0
    for before, after in zip(source, pooled(task, source, scope=scope), strict=True):
        prunable = task.network.layout.prunable_count
        assert after.ticket.mask.sum(1).tolist() == before.ticket.mask.sum(1).tolist()
        assert torch.equal(after.trained.weights[:, :prunable] != 0, after.ticket.mask)
        assert after.trained.step == before.trained.step
        old, new = accuracies(task, before.trained), accuracies(task, after.trained)
        for row, members in enumerate(after.pool):
            assert members.validation_before == old[row] and len(members.rounds) == len(members.shares)
            assert new[row] > old[row] if members.rounds else new[row] == old[row]
            improved += bool(members.rounds)
    assert improved


def test_a_round_that_nothing_improves_keeps_its_bits(task, source):
    same = [source[1], source[1]]
    for after in pooled(task, same):
        assert torch.equal(after.trained.weights, source[1].trained.weights)
        assert torch.equal(after.ticket.mask, source[1].ticket.mask)
        assert [members.rounds for members in after.pool] == [()] * len(SEEDS)


def test_the_scope_layer_keeps_the_number_of_weights_of_each_layer(task):
    source = search(task)
    for before, after in zip(source, pooled(task, source, scope='layer'), strict=True):
        for slot in task.network.layout.prunable_slots:
            part = slice(slot.start, slot.stop)
            assert torch.equal(after.ticket.mask[:, part].sum(1), before.ticket.mask[:, part].sum(1))


def test_each_seed_is_pooled_as_alone(task, source):
    alone = replace(task, seeds=SEEDS[1:])
    rounds = [replace(
        one, ticket=replace(one.ticket, mask=one.ticket.mask[1:], weights=one.ticket.weights[1:]),
        trained=replace(one.trained, weights=one.trained.weights[1:], history=(measure(alone, replace(
            one.trained, weights=one.trained.weights[1:])),))) for one in source]
    together, single = pooled(task, source)[1], pooled(alone, rounds)[1]
    assert torch.equal(together.ticket.mask[1:], single.ticket.mask)
    assert torch.equal(together.trained.weights[1:], single.trained.weights)


def test_the_weights_are_those_of_the_recorded_rounds_and_shares_in_their_order(task, source):
    prunable = task.network.layout.prunable_count
    for number, after in enumerate(pooled(task, source)):
        for row, members in enumerate(after.pool):
            weights = source[number].trained.weights[row]
            for other, share in zip(members.rounds, members.shares):
                weights = torch.lerp(weights, source[other].trained.weights[row], share)
                count = int(after.ticket.mask[row].sum())
                threshold = weights[:prunable].abs().sort(descending=True).values[count - 1]
                weights[:prunable][weights[:prunable].abs() < threshold] = 0
            assert torch.equal(after.trained.weights[row], weights)


def test_batch_norm_is_estimated_again_for_the_rounds_that_are_interpolated():
    task = make_task('resnet20', shape=(3, 8, 8), length='1 epoch', images=64, data={'validation': 24})
    source = search(task, rounds=1)
    for after in pooled(task, source):
        if after.pool[0].rounds:
            again = task.engine.reestimate_batch_norm(task, after.trained)
            assert all(torch.equal(again.buffers[name], buffer) for name, buffer in after.trained.buffers.items())


def test_it_resumes_byte_for_byte(tmp_path, task, source):
    settings = pool_settings(source)
    assert compare_resumed_search(
        tmp_path, task, lambda past: pool.pool_tickets(task, settings, past, source=source)) == 3


@pytest.mark.parametrize('over', [{'rounds': [3], 'kept': [5]}, {'rounds': [0]}, {'levels': 1}, {'scope': 'all'}])
def test_settings_that_do_not_fit_each_other_are_refused(source, over):
    with pytest.raises(ValueError, match='rounds|levels|global'):
        pool_settings(source, **over)
