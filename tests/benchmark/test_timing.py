"""The bench, on data that is always there."""
import json

import pytest
import torch

from lth.benchmark.baseline_loop import TransformedImages
from lth.benchmark.timing import _ticket
from tests.conftest import make_task

MEASURED = {'density', 'replicates', 'seeds', 'threads', 'ms_per_step', 'ratio', 'over_eager', 'over_one',
            'spread', 'peak_memory'}


@pytest.mark.timeout(200)
def test_the_usual_way_and_the_plain_engine_take_turns_and_are_compared(lth):
    result = lth(
        'bench', 'lenet-300-100', 'digits', '--turns', '2', '--device', 'cpu', '--algorithm', 'gem-miner', '--json')
    rows = json.loads(result.out)['rows']
    assert [row['engine'] for row in rows] == ['usual', 'eager', 'eager, gem-miner']
    assert all(MEASURED <= row.keys() for row in rows)
    assert rows[0]['ratio'] == 1
    assert all(row['ms_per_step'] > 0 and row['peak_memory'] > 50 and row['threads'] == 1 for row in rows)


@pytest.mark.timeout(200)
def test_densities_let_plain_and_sparse_take_turns_at_each(lth):
    result = lth(
        'bench', 'lenet-300-100', 'digits', '--turns', '2', '--device', 'cpu', '--densities', '0.5,0.02', '--json')
    rows = json.loads(result.out)['rows']
    assert [(row['engine'], row['density']) for row in rows] == [
        ('usual', 1), ('eager', 0.5), ('sparse', 0.5), ('eager', 0.02), ('sparse', 0.02)]
    assert [row['over_eager'] is None for row in rows] == [True, True, False, True, False]
    assert all(row['ms_per_step'] > 0 and row['ratio'] > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_seeds_train_at_once_as_processes_and_as_threads(lth):
    result = lth('bench', 'lenet-300-100', 'digits', '--turns', '2', '--device', 'cpu', '--seeds', '2', '--densities',
                 '0.1', '--json')
    rows = json.loads(result.out)['rows']
    assert [(row['engine'], row['seeds']) for row in rows] == [
        ('usual', 1), ('eager', 1), ('sparse', 1), ('eager, 2 processes', 2), ('eager, 2 threads', 2),
        ('sparse, 2 processes', 2), ('sparse, 2 threads', 2)]
    assert [row['over_one'] is None for row in rows] == [True] * 3 + [False] * 4
    assert all(0 < row['over_one'] < 4 for row in rows[3:])


@pytest.mark.parametrize('shares', ['', '0', '1.5', '0.5;0.2', 'a'])
def test_a_share_that_is_none_is_an_error(lth, shares):
    result = lth('bench', 'lenet-300-100', 'digits', '--densities', shares or ' ')
    assert result.code == 2 and '--densities: cannot read' in result.err


@pytest.mark.slow
@pytest.mark.timeout(250)
def test_a_study_estimates_a_whole_search_and_times_it(lth, tmp_path):
    short = '--set', 'algorithm.rounds=2', '--set', 'training.length=2 epochs', '--turns', '1', '--device', 'cpu'
    found = json.loads(lth('bench', 'lenet-300-100', 'digits', '--study', '--run', *short, '--json').out)
    assert (found['rounds'], found['steps']) == (3, 3 * 2 * 21)
    assert [row['engine'] for row in found['rows']] == ['usual', 'auto', 'auto', 'auto']
    assert found['usual_seconds'] == pytest.approx(found['rows'][0]['ms_per_step'] * found['steps'] / 1000)
    times = [row['ms_per_step'] for row in found['rows'][1:]]
    assert found['estimated_seconds'] == pytest.approx(sum(times) * 42 / 1000)
    assert found['real_seconds'] > 0 and not list(tmp_path.iterdir())


def test_a_random_ticket_keeps_its_share_of_every_layer_exactly():
    task = make_task()
    ticket = _ticket(task, 0.13)
    kept = [int(part.sum()) for part in task.network.layout.unpack(ticket.mask).values()]
    assert kept == [round(0.13 * slot.size) for slot in task.network.layout.prunable_slots]
    assert torch.equal(ticket.weights[:, :task.network.layout.prunable_count] != 0, ticket.mask)


def test_both_ways_learn_the_same_thing():
    """A comparison of speed is worth something only between ways that train alike."""

    task = make_task(data={'normalization': 'standardize'})
    picture, label = TransformedImages(task)[3]
    number = task.splits[0][0][3]
    expected = (task.data.train.images[number] / 255 - 0.4) / 0.2
    assert torch.allclose(picture, expected, atol=1e-6) and label == task.data.train.labels[number]


def test_the_choice_of_a_mask_is_timed_without_pictures(lth):
    rows = json.loads(lth('bench', 'resnet20', 'cifar10', '--masks', '--turns', '2', '--json').out)['rows']
    assert [(row['scores'], row['weights']) for row in rows] == [('distinct', 267_696), ('all equal', 267_696)]
    assert all(row['seconds'] > 0 for row in rows)


@pytest.mark.slow
def test_edge_popup_takes_part_beside_the_weights_of_the_same_engine(lth):
    result = lth('bench', 'lenet-300-100', 'digits', '--turns', '1', '--device', 'cpu', '--algorithm', 'edge-popup',
                 '--json')
    assert [row['engine'] for row in json.loads(result.out)['rows']] == ['usual', 'eager', 'eager, edge-popup']
