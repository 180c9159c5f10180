"""Runs that start from the tickets of a source run, which is then replaced by another one."""
import json
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from lth import open_run
from lth.errors import LthWarning

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run', 'source')
DERIVED = {
    'source-finetuned-round-01': ('finetune', 'source', '-e', '2'),
    'source-to-digits-round-01': ('transfer', 'source', '--to', 'digits', '-e', '1'),
    'source-controls/reinit': (*SEARCH, '--controls', 'reinit')}


def replace_source(lth) -> None:
    """Search the source run again by another criterion: the same number of weights, but other ones."""

    shutil.rmtree('runs/source')
    assert lth(*SEARCH, '--criterion', 'movement').code == 0


@pytest.mark.parametrize(('folder', 'command'), DERIVED.items())
def test_a_source_run_replaced_by_another_with_the_same_counts_is_an_error(lth, folder, command):
    assert lth(*SEARCH).code == 0 and lth(*command).code == 0
    before = {path: path.read_bytes() for path in Path('runs', folder).rglob('*') if path.is_file()}
    assert lth(*command).code == 0
    replace_source(lth)
    result = lth(*command, *(('--criterion', 'movement') if command[0] == 'find-ticket' else ()))
    message = ' '.join(result.err.split())
    assert result.code == 2
    assert (f'runs/{folder} was trained from another ticket than the one that is now round 1 of seed 0 in runs/source'
            in message)
    assert {path: path.read_bytes() for path in Path('runs', folder).rglob('*') if path.is_file()} == before


def test_runs_that_start_from_a_replaced_run_are_not_shown_with_it(lth):
    assert lth(*DERIVED['source-controls/reinit']).code == 0 and lth(*DERIVED['source-finetuned-round-01']).code == 0
    controls = open_run('source').controls
    assert list(controls) == ['reinit'] and 'before and after finetuning' in lth('evaluate', 'source').out
    replace_source(lth)
    evaluated = lth('evaluate', 'source')
    assert evaluated.code == 0 and 'finetuning' not in evaluated.out
    assert 'source-finetuned-round-01 cannot be evaluated: ' in evaluated.err and 'was replaced' in evaluated.err
    with pytest.warns(LthWarning, match='reinit is left out: .* was trained from another ticket'):
        assert open_run('source').controls == {}


def test_a_source_run_that_was_trained_again_with_the_same_result_is_accepted(lth):
    command = DERIVED['source-to-digits-round-01']
    assert lth(*SEARCH).code == 0 and lth(*command).code == 0
    shutil.rmtree('runs/source')
    shutil.rmtree('runs/source-to-digits-round-01/seed-0/round-01')
    assert lth(*SEARCH).code == 0 and lth(*command).code == 0


def test_every_round_records_the_fingerprint_of_its_source_ticket(lth):
    assert lth(*SEARCH).code == 0 and lth(*DERIVED['source-to-digits-round-01']).code == 0

    def source(path: str) -> str | None:
        with safe_open(path, 'pt') as file:
            recorded: str | None = json.loads(file.metadata()['lth']).get('source')
            return recorded
    recorded = [source(f'runs/source-to-digits-round-01/seed-0/round-0{number}/mask.safetensors') for number in (0, 1)]
    assert all(recorded) and recorded[0] != recorded[1]
    assert source('runs/source/seed-0/round-01/mask.safetensors') is None


LSTM = '''
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.lstm, self.output = nn.LSTM(8, 12, batch_first=True), nn.Linear(12, classes)

    def forward(self, images):
        return self.output(self.lstm(images.flatten(1).unflatten(1, (8, 8)))[0][:, -1])


def net(shape, classes):
    return Net(classes)
'''
FROM_A_SEARCH = (
    ('finetune', 'a'), ('transfer', 'a', '--to', 'digits'), ('sanity-check', 'a', '--checks', 'reinit'), ('pool', 'a'),
    ('train-early-birds', 'a', '--threshold', '1'))


def test_runs_that_start_from_a_search_prune_the_layers_that_it_prunes(lth):
    Path('lstm.py').write_text(LSTM, encoding='utf-8')
    settings = ('also_prune=recurrent', 'keep_out=output', 'rates=0.5')
    search = ('find-ticket', 'lstm.py:net', 'digits', '-i', '1', '-e', '5', '--early-bird', '--run', 'a')
    assert lth(*search, *(word for setting in settings for word in ('--set', f'algorithm.{setting}'))).code == 0
    for command in FROM_A_SEARCH:
        result = lth(*command, '--trust-code')
        assert result.code == 0, result.err
    recipes = list(Path('runs').glob('a-*/**/recipe.yaml'))
    assert len(recipes) >= len(FROM_A_SEARCH)
    for recipe in recipes:
        algorithm = yaml.safe_load(recipe.read_text())['algorithm']
        assert (algorithm['also_prune'], algorithm['keep_out']) == (['recurrent'], ['output'])
    for mask in Path('runs').glob('a-*/**/mask.safetensors'):
        assert sorted(load_file(mask)) == ['lstm.weight_hh_l0', 'lstm.weight_ih_l0']
