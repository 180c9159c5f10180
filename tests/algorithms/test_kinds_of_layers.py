"""Rates, masks and files of recurrent layers, embeddings, packed projections and shared tensors, in whole runs."""
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import lth as package
from lth.algorithms.at_init.grasp import scores
from lth.algorithms.imp_settings import Rates, Settings, layer_counts
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.pruning.effective_sparsity import connected_totals
from lth.pruning.layer_densities import erk
from lth.system import yaml_text
from lth.training.engines.backward import make_backward
from tests.conftest import make_task

ROWS = '''
import torch
from torch import nn

class Rows(nn.Module):
    def __init__(self, shape, classes, width):
        super().__init__()
        self.positions = nn.Embedding(shape[1], shape[2])
        self.lstm = nn.LSTM(shape[2], width, batch_first=True)
        self.output = nn.Linear(width, classes)
        self.register_buffer('numbers', torch.arange(shape[1]))

    def forward(self, images):
        states = self.lstm(images.squeeze(1) + self.positions(self.numbers))[0]
        return self.output(states[:, -1])

def rows(shape, classes, *, width: int = 6):
    return Rows(shape, classes, width)

class Shared(nn.Module):
    """Rows as tokens, attention whose projections are packed, and a tensor that two layers share."""

    def __init__(self, shape, classes):
        super().__init__()
        self.attention = nn.MultiheadAttention(shape[2], 2, batch_first=True)
        self.first, self.second = nn.Linear(shape[2], shape[2]), nn.Linear(shape[2], shape[2])
        self.second.weight = self.first.weight
        self.output = nn.Linear(shape[2], classes)

    def forward(self, images):
        rows = images.squeeze(1)
        rows = rows + self.attention(rows, rows, rows, need_weights=False)[0]
        return self.output(self.second(self.first(rows).relu()).mean(1))

def shared(shape, classes):
    return Shared(shape, classes)
'''
BOTH = 'algorithm.also_prune=[recurrent,embedding]'


@pytest.fixture
def rows(tmp_path: Path) -> str:
    (tmp_path / 'rows.py').write_text(ROWS)
    return 'rows.py:rows'


def settings(**over: object) -> Settings:
    return Settings.model_validate({'name': 'magnitude', 'rounds': 1, 'rates': 0.2} | over)


def test_a_search_prunes_the_gates_of_an_lstm_and_the_rows_of_an_embedding(lth, rows):
    assert lth('find-ticket', rows, 'digits', '-i', '2', '-e', '1', '--set', BOTH, '--run', 'r').code == 0
    record = json.loads(Path('runs/r/seed-0/round-02/round.json').read_text())
    kept = {layer['name']: (layer['weights'], layer['kept'], layer['uses']) for layer in record['layers']}
    # 8 rows of 8 pixels; 4 gates of 6 units; after each round ⌊0.2 n⌋ fewer.
    assert kept == {'positions.weight': (64, 42, 0), 'lstm.weight_ih_l0': (192, 124, 8),
                    'lstm.weight_hh_l0': (144, 93, 8), 'output.weight': (60, 39, 1)}
    masks, trained = (load_file(f'runs/r/seed-0/round-02/{name}.safetensors') for name in ('mask', 'trained'))
    assert all(not trained[name][~mask].any() for name, mask in masks.items()) and len(masks) == 4
    assert int(masks['lstm.weight_hh_l0'].sum()) == 93
    assert lth('finetune', 'runs/r/seed-0/round-02', '--trust-code', '-e', '2', '--run', 'f').code == 0
    finetuned = yaml_text.read_yaml(Path('runs/f/recipe.yaml'))
    assert finetuned['algorithm']['also_prune'] == ['recurrent', 'embedding']


def test_early_birds_prune_the_kinds_of_layers_that_their_search_prunes(lth, rows):
    search = ('find-ticket', rows, 'digits', '-i', '1', '-e', '4', '--early-bird', '--set', BOTH, '--run', 'r')
    assert lth(*search).code == 0
    result = lth('train-early-birds', 'r', '--threshold', '0.9', '--trust-code')
    assert result.code == 0, result.err
    drawn = yaml_text.read_yaml(Path('runs/r-early-birds/recipe.yaml'))
    assert drawn['algorithm']['also_prune'] == ['recurrent', 'embedding']
    # The numbers of the search: 460 weights in all, of which ⌊0.2 n⌋ of each layer are pruned.
    masks = load_file('runs/r-early-birds/seed-0/round-00/mask.safetensors')
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        name: int(mask.sum()) for name, mask in load_file('runs/r/seed-0/round-01/mask.safetensors').items()}
    assert int(masks['lstm.weight_hh_l0'].sum()) == 144 - 28


def test_without_a_request_only_the_classifier_is_pruned_and_a_note_names_the_rest(lth, rows):
    result = lth('find-ticket', rows, 'digits', '-i', '1', '--dry-run')
    assert result.code == 0 and re.search('60 of 60 weights can be pruned', result.out)
    assert 'not pruned: positions.weight, lstm.weight_ih_l0, lstm.weight_hh_l0 (400 weights in 3 tensors' in (
        result.out + result.err)


def test_packed_and_shared_tensors_are_pruned_counted_saved_and_exported_once(lth, rows):
    model = rows.replace(':rows', ':shared')
    assert lth('find-ticket', model, 'digits', '-i', '1', '-e', '1', '--run', 's').code == 0
    record = json.loads(Path('runs/s/seed-0/round-01/round.json').read_text())
    kept = {layer['name']: (layer['weights'], layer['kept'], layer['uses']) for layer in record['layers']}
    assert kept == {'attention.in_proj_weight': (192, 154, 8), 'attention.out_proj.weight': (64, 52, 8),
                    'first.weight': (64, 52, 16), 'output.weight': (80, 64, 1)}
    weights = load_file('runs/s/seed-0/round-01/ticket.safetensors')
    assert 'first.weight' in weights and 'second.weight' not in weights
    module = package.load_ticket('runs/s/seed-0/round-01', trust_code=True).module()
    state = module.state_dict()
    assert torch.equal(state['first.weight'], state['second.weight'])
    assert state['first.weight'].data_ptr() == state['second.weight'].data_ptr()
    assert int((state['first.weight'] != 0).sum()) == 52 and int((state['attention.in_proj_weight'] != 0).sum()) == 154


@pytest.mark.parametrize(('rates', 'also_prune', 'says'), [
    ({}, ['recurrent'], 'also_prune names recurrent, but rates has no rate for it'),
    ({'embedding': 0.1}, [], 'rates has a rate for embedding, but also_prune does not name it')])
def test_kinds_of_layers_need_a_rate_each_and_no_other_kind_has_one(rates, also_prune, says):
    with pytest.raises(ValueError, match=says):
        settings(rates={'convolution': 0.1, 'dense': 0.2, 'output': 0.1} | rates, also_prune=also_prune)


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.positions, self.lstm, self.output = nn.Embedding(8, 8), nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.squeeze(1) + self.positions(torch.arange(8))
        result: Tensor = self.output(self.lstm(rows)[0][:, -1])
        return result


def test_each_kind_has_its_own_rate_and_erk_counts_rows_and_columns():
    layout = Layout.of(_Net(), also_prune=['recurrent', 'embedding'])
    rates = {'convolution': 0.1, 'dense': 0.2, 'output': 0.1, 'recurrent': 0.5, 'embedding': 0.25}
    chosen = settings(rates=rates, also_prune=['recurrent', 'embedding'])
    assert layer_counts(layout, chosen)[1] == (48, 96, 72, 22)
    # In proportion to 8 + 8, 24 + 8, 24 + 6 and 4 + 6.
    assert erk(layout.prunable_slots, 88) == (16, 32, 30, 10)


def test_rates_of_kinds_that_are_not_pruned_are_not_written():
    assert Rates(convolution=0.1, dense=0.2, output=0.1).model_dump() == {
        'convolution': 0.1, 'dense': 0.2, 'output': 0.1}


def lstm_network() -> Network:
    module = _Net()
    layout = Layout.of(module, also_prune=['recurrent', 'embedding'])
    return Network(module, layout, (1, 8, 8), 4, settings_class('lenet-5')(name='lenet-5'))


def test_grasp_differentiates_twice_through_an_lstm():
    task = replace(make_task(), network=lstm_network())
    weights = task.network.layout.pack({name: tensor.detach() for name, tensor in
                                        task.network.module.named_parameters()})
    found = scores(task, weights, {})
    assert found.shape == (64 + 192 + 144 + 24,) and found.isfinite().all() and found.count_nonzero() > 300


def test_connections_are_not_determined_through_recurrent_layers():
    network = lstm_network()
    assert connected_totals(network, torch.ones(network.layout.prunable_count, dtype=torch.bool)) is None


def test_several_seeds_of_a_recurrent_network_in_one_task_are_refused():
    network = lstm_network()
    weights = torch.zeros(2, network.layout.size)
    with pytest.raises(LthError, match='recurrent layers, of which torch cannot train several seeds at once'):
        make_backward(network, weights, {}, None)
