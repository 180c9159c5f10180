"""`lth evaluate`: accuracies measured again from the files of a run."""
import json

import pytest
import torch

from tests.round_files import forge_tensors, read

QUICK = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '2')


def test_evaluate_measures_the_recorded_accuracy(lth):
    lth(*QUICK)
    found = json.loads(lth('evaluate', 'lenet-300-100-digits', '--json').out)['evaluations']
    assert [one['round'] for one in found] == [0, 1]
    assert all(one['test_accuracy_percent'] == one['recorded_accuracy_percent'] > 30 for one in found)
    assert found[1]['layers'] == [
        {'name': 'dense1.weight', 'kept': 15_360, 'weights': 19_200, 'density_percent': 80, 'above_threshold': None,
         'multiply_adds': 15_360, 'dense_multiply_adds': 19_200},
        {'name': 'dense2.weight', 'kept': 24_000, 'weights': 30_000, 'density_percent': 80, 'above_threshold': None,
         'multiply_adds': 24_000, 'dense_multiply_adds': 30_000},
        {'name': 'output.weight', 'kept': 900, 'weights': 1_000, 'density_percent': 90, 'above_threshold': None,
         'multiply_adds': 900, 'dense_multiply_adds': 1_000}]


@pytest.mark.parametrize(('below', 'count'), [('', 4), ('/seed-1', 2), ('/seed-1/round-01', 1)])
def test_evaluate_accepts_a_run_a_seed_or_a_round(lth, below, count):
    lth(*QUICK)
    lth(*QUICK, '--seeds', '1')
    for start in ('lenet-300-100-digits', 'runs/lenet-300-100-digits'):
        assert len(json.loads(lth('evaluate', start + below, '--json').out)['evaluations']) == count
    shown = lth('evaluate', 'lenet-300-100-digits' + below).out
    assert 'dense1.weight' in shown and ('± ' in shown) == (count == 4)


def test_evaluate_prints_a_note_if_the_accuracy_differs_from_the_recorded_one(lth, tmp_path):
    lth(*QUICK)
    path = tmp_path / 'runs/lenet-300-100-digits/seed-0/round-01/trained.safetensors'
    tensors = read(path)[1]
    tensors['output.bias'] += torch.arange(10) * 100.
    forge_tensors(path, tensors)
    assert 'Note: seed 0, round 1: the recorded test accuracy is' in lth('evaluate', 'lenet-300-100-digits').err


def test_evaluate_of_a_run_without_a_completed_round_is_an_error(lth, tmp_path):
    lth(*QUICK)
    (tmp_path / 'runs/lenet-300-100-digits/seed-0').rename(tmp_path / 'away')
    result = lth('evaluate', 'lenet-300-100-digits')
    assert result.code == 2
    assert 'has no completed round yet' in result.err


def test_evaluate_of_a_missing_seed_or_round_names_those_of_the_run(lth):
    lth(*QUICK)
    assert 'Its seeds are [0]' in lth('evaluate', 'lenet-300-100-digits/seed-3').err
    assert 'seed 0 has 2 rounds' in lth('evaluate', 'lenet-300-100-digits/seed-0/round-07').err


@pytest.mark.parametrize('source', ['3', 'null', '[a]', '"a\\0b"', '{a: 1}'])
def test_evaluate_ignores_a_recipe_in_a_neighboring_folder_that_lth_did_not_write(lth, tmp_path, source):
    lth(*QUICK)
    neighbor = tmp_path / 'runs/other/recipe.yaml'
    neighbor.parent.mkdir()
    neighbor.write_text(f'algorithm: {{name: finetune, round: 1, control: original, source: {source}}}')
    assert lth('evaluate', 'lenet-300-100-digits').code == 0
