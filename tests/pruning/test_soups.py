"""Soups: averages of copies of one ticket, trained in different orders of the images."""
from dataclasses import replace

import pytest
import torch

from lth.algorithms import imp, imp_settings
from lth.pruning import soups
from lth.pruning.tickets import Round, dense_ticket, mask_ticket, train_ticket
from lth.training.state import State
from lth.training.task import Task
from tests.algorithms.test_resume import compare_resumed_search
from tests.conftest import SGD, initial_state, make_task
from tests.pruning.test_joint_training import Together

RETRAININGS = ['weight-rewinding', 'learning-rate-rewinding', 'fine-tuning', 'strategy-2']


def settings_of(**over: object) -> imp_settings.Settings:
    return imp_settings.Settings.model_validate({'name': 'magnitude', 'rounds': 2, 'copies': 2} | over)


def search(task: Task, **over: object) -> list[Round]:
    return list(imp.find_ticket(task, settings_of(**over), ()))


def same_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all copies have the seed of the run."""

    monkeypatch.setattr(soups.rng, 'derive_seed', lambda seed, *_numbers: seed)


def everything(task: Task, count: int) -> torch.Tensor:
    return torch.ones(len(task.seeds), count, dtype=torch.bool)


@pytest.mark.parametrize('copies', [2, 3, 7])
def test_the_average_of_equal_states_has_their_bits(copies):
    task = make_task(seeds=(0, 1))
    state = initial_state(task)
    assert torch.equal(soups.average(task, [state] * copies, everything(task, copies)).weights, state.weights)


def test_an_average_is_the_mean_of_the_included_states_of_each_replicate():
    task = make_task(seeds=(0, 1))
    size = task.network.layout.size
    states = [State(torch.full((2, size), value), {}) for value in (1., 3., 8.)]
    included = torch.tensor([[True, True, False], [True, False, True]])
    found = soups.average(task, states, included).weights
    assert found[0].unique().tolist() == [2.] and found[1].unique().tolist() == [4.5]


def test_the_average_of_a_network_with_batch_norm_gets_new_statistics_and_keeps_counts():
    task = make_task('resnet20', shape=(3, 8, 8))
    first, second = initial_state(task), initial_state(task)
    second.weights.mul_(2)
    mixed = soups.average(task, [first, second], everything(task, 2))
    expected = task.engine.reestimate_batch_norm(task, State(first.weights * 1.5, first.buffers))
    assert mixed.buffers.keys() == first.buffers.keys()
    for name, buffer in mixed.buffers.items():
        assert torch.equal(buffer, expected.buffers[name])


@pytest.mark.parametrize('soup', ['uniform', 'greedy'])
def test_the_soup_of_identical_copies_is_the_copy(monkeypatch, soup):
    same_copies(monkeypatch)
    task = make_task(seeds=(0, 5), length='1 epoch')
    ticket = dense_ticket(task)
    found, copies = soups.train_soup(task, ticket, 0, copies=3, soup=soup)
    alone = train_ticket(task, ticket)
    assert torch.equal(found.weights, alone.weights) and found.step == alone.step
    assert found.history[-1].test == alone.history[-1].test
    assert [one.test for one in copies] == [(accuracy,) * 3 for accuracy in alone.history[-1].test.accuracy]
    assert all(one.in_soup == (True,) * 3 for one in copies)


def test_copy_0_is_the_network_that_a_search_without_copies_trains_and_the_others_differ():
    task = make_task(length='2 epochs')
    ticket = dense_ticket(task)
    _, (copies,) = soups.train_soup(task, ticket, 0, copies=3, soup='uniform')
    alone = train_ticket(task, ticket).history[-1]
    assert (copies.validation[0], copies.test[0]) == (alone.validation.accuracy[0], alone.test.accuracy[0])
    tasks = [soups._copy_task(task, 0, copy, task.on_step) for copy in range(3)]  # pylint: disable=protected-access
    assert len({one.seeds for one in tasks}) == 3
    for one in tasks[1:]:
        assert all(torch.equal(*pair) for pair in zip(one.splits[0], task.splits[0]))


def test_a_search_with_one_copy_has_the_bits_of_one_without():
    task = make_task(length='1 epoch')
    for one, other in zip(search(task, copies=1), imp.find_ticket(
            task, imp_settings.Settings(name='magnitude', rounds=2), ()), strict=True):
        assert torch.equal(one.trained.weights, other.trained.weights) and one.copies == ()


@pytest.mark.parametrize('retrain', RETRAININGS)
def test_the_soup_ranks_the_weights_and_training_that_continues_starts_from_it(retrain):
    task = make_task(length='1 epoch', seeds=(0, 2), optimizer=SGD)
    dense, first, second = search(task, retrain=retrain, scope='global')
    prunable = task.network.layout.prunable_count
    for row, mask in enumerate(first.ticket.mask):
        magnitudes = dense.trained.weights[row, :prunable].abs()
        assert magnitudes[mask].min() >= magnitudes[~mask].max()
    rewinds = [retrain == 'weight-rewinding', retrain in ('weight-rewinding', 'strategy-2')]
    for before, after, rewound in zip((dense, first), (first, second), rewinds, strict=True):
        start = dense.ticket.weights if rewound else before.trained.weights
        assert torch.equal(after.ticket.weights[:, :prunable], start[:, :prunable] * after.ticket.mask)
    assert torch.equal(second.trained.weights[:, :prunable] != 0, second.ticket.mask)


def test_the_history_is_the_mean_of_the_copies_and_ends_with_the_soup():
    task = make_task(length='2 epochs', measure_every='1 epochs')
    ticket = dense_ticket(task)
    found, (copies,) = soups.train_soup(task, ticket, 0, copies=2, soup='uniform')
    other = train_ticket(
        soups._copy_task(task, 0, 1, task.on_step), ticket)  # pylint: disable=protected-access
    mine = train_ticket(task, ticket)
    for step in (0, 1):
        values = [state.history[step].validation.loss[0] for state in (mine, other)]
        assert found.history[step].validation.loss[0] == pytest.approx(sum(values) / 2)
    measured = task.engine.evaluate(task, found, None)
    assert found.history[-1].test == measured
    assert copies.test[1] == other.history[-1].test.accuracy[0]


def test_a_greedy_soup_is_never_less_accurate_on_validation_images_than_its_best_copy():
    task = make_task(length='2 epochs', seeds=(0, 1, 2))
    found, copies = soups.train_soup(task, dense_ticket(task), 0, copies=4, soup='greedy')
    for accuracy, one in zip(found.history[-1].validation.accuracy, copies, strict=True):
        assert accuracy >= max(one.validation) and one.in_soup[one.validation.index(max(one.validation))]


@pytest.mark.parametrize('over', [
    {}, {'soup': 'greedy', 'copies': 3}, {'retrain': 'learning-rate-rewinding', 'rewind': '2 iterations'}], ids=str)
def test_a_search_with_copies_resumes_byte_for_byte(tmp_path, over):
    task = make_task(seeds=(0, 1), length='1 epoch', data={'flip': True})
    assert compare_resumed_search(
        tmp_path, task, lambda past: imp.find_ticket(task, settings_of(**over), past)) == 3


def test_copies_train_together_where_the_engine_trains_several_networks_at_once():
    engine = Together(64)
    task = make_task(engine=engine, length='1 epoch', seeds=(0, 3), optimizer=SGD)
    ticket = mask_ticket(dense_ticket(task), torch.rand(2, task.network.layout.prunable_count) < 0.5)
    found, _ = soups.train_soup(task, ticket, 1, copies=3, soup='uniform')
    apart, _ = soups.train_soup(replace(task, engine=Together(1)), ticket, 1, copies=3, soup='uniform')
    assert engine.sizes == [6]
    assert torch.allclose(found.weights, apart.weights, atol=1e-5)


def test_the_progress_of_copies_is_that_of_one_training():
    steps: list[int] = []
    task = replace(make_task(length='1 epoch'), on_step=lambda step, _measurement: steps.append(step))
    soups.train_soup(task, dense_ticket(task), 0, copies=3, soup='uniform')
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] == task.steps


@pytest.mark.parametrize(('over', 'says'), [
    ({'copies': 0}, 'greater than or equal to 1'), ({'copies': 65}, 'less than or equal to 64'),
    ({'copies': 1, 'soup': 'greedy'}, 'there is one'), ({'soup': 'best'}, 'uniform')])
def test_soups_that_cannot_be_made_are_refused(over, says):
    with pytest.raises(ValueError, match=says):
        settings_of(**over)


def test_the_planned_steps_count_all_copies():
    training = make_task(length='10 iterations').training
    settings = settings_of(rewind='4 iterations', copies=3)
    assert [settings.trained_steps(number, training, 5) for number in (0, 1)] == [4 + 3 * 6, 3 * 6]
