"""The bench, on data that is always there."""
import json

import pytest
import torch

from lth.benchmark.usual import Pictures
from tests.conftest import task_of

MEASURED = {'density', 'replicates', 'threads', 'ms_per_step', 'ratio', 'spread', 'peak_memory'}


@pytest.mark.timeout(200)
def test_the_usual_way_and_the_plain_engine_take_turns_and_are_compared(lth):
    result = lth(
        'bench', 'lenet-300-100', 'digits', '--turns', '2', '--device', 'cpu', '--algorithm', 'gem-miner', '--json')
    rows = json.loads(result.out)['rows']
    assert [row['engine'] for row in rows] == ['usual', 'plain', 'plain, gem-miner']
    assert all(MEASURED <= row.keys() for row in rows)
    assert rows[0]['ratio'] == 1
    assert all(row['ms_per_step'] > 0 and row['peak_memory'] > 50 and row['threads'] == 1 for row in rows)


def test_both_ways_learn_the_same_thing():
    """A comparison of speed is worth something only between ways that train alike."""

    task = task_of(data={'normalization': 'standardize'})
    picture, label = Pictures(task)[3]
    number = task.divisions[0][0][3]
    expected = (task.data.train.images[number] / 255 - 0.4) / 0.2
    assert torch.allclose(picture, expected, atol=1e-6) and label == task.data.train.labels[number]


def test_the_choice_of_a_mask_is_timed_without_pictures(lth):
    rows = json.loads(lth('bench', 'resnet20', 'cifar10', '--masks', '--turns', '2', '--json').out)['rows']
    assert [(row['scores'], row['weights']) for row in rows] == [('distinct', 267_696), ('all equal', 267_696)]
    assert all(row['seconds'] > 0 for row in rows)


def test_edge_popup_takes_part_beside_the_weights_of_the_same_engine(lth):
    result = lth('bench', 'lenet-300-100', 'digits', '--turns', '1', '--device', 'cpu', '--algorithm', 'edge-popup')
    assert result.code == 0 and 'plain, edge-popup' in result.out and '1 thread,' in result.out
