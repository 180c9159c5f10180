"""What is read of the files of other programs: masks, weights before and after training, settings."""
import torch

import pytest

from lth.errors import LthError
from lth.foreign import FORMS
from lth.foreign.forms import open_form
from tests.foreign.foreign_files import save_gem, save_open_lth, save_pruned


def test_rounds_of_open_lth_have_masks_rewound_weights_and_trained_weights(tmp_path):
    found = open_form('open_lth', save_open_lth(tmp_path / 'lottery_1', replicates=2))
    assert {seed: len(rounds) for seed, rounds in found.rounds.items()} == {1: 2, 2: 2}
    dense, sparse = (read() for read in found.rounds[1])
    assert all(bool((mask == 1).all()) for mask in dense.masks.values())
    assert int((sparse.masks['fc_layers.0.weight'] == 0).sum()) == 300 * 8
    kept = sparse.masks['fc_layers.0.weight'] == 1
    assert torch.equal(sparse.start['fc_layers.0.weight'][kept], dense.start['fc_layers.0.weight'][kept])
    assert torch.equal(sparse.trained['fc.bias'], 2 * sparse.start['fc.bias'])


def test_settings_of_open_lth_become_a_recipe(tmp_path):
    found = open_form('open_lth', save_open_lth(tmp_path / 'lottery_1'))
    assert (found.model, found.dataset, found.start) == ('lenet-300-100', 'mnist', (0, 5))
    assert found.settings['training'] == {
        'batch_size': 20, 'length': '2 epochs',
        'schedule': {'name': 'multistep', 'milestones': ['1 epochs'], 'factor': .1},
        'optimizer': {'name': 'sgd', 'learning_rate': 0.1, 'weight_decay': 1e-4, 'momentum': 0.9, 'nesterov': False}}
    assert any('0.9125' in note for note in found.notes)


def test_a_replicate_and_a_single_level_of_open_lth_are_runs_too(tmp_path):
    folder = save_open_lth(tmp_path / 'lottery_1', replicates=2)
    assert list(open_form('open_lth', folder / 'replicate_2').rounds) == [2]
    assert [len(rounds) for rounds in open_form('open_lth', folder / 'replicate_2/level_1/main').rounds.values()] == [1]


def test_a_level_without_rewound_weights_is_rewound_to_those_of_level_0(tmp_path):
    folder = save_open_lth(tmp_path / 'lottery_1')
    (folder / 'replicate_1/level_1/main/model_ep0_it5.pth').unlink()
    dense, sparse = (read() for read in open_form('open_lth', folder).rounds[1])
    assert all(torch.equal(sparse.start[name], dense.start[name]) for name in dense.start)


@pytest.mark.parametrize(('missing', 'message'), [
    ('replicate_1/level_0/main/mask.pth', 'has no mask.pth'), ('replicate_1/level_0', r'the levels \[1\]'),
    ('replicate_1/level_1', 'replicate 2 has 2 rounds, and replicate 1 has 1')])
def test_incomplete_runs_of_open_lth_are_refused(tmp_path, missing, message):
    folder = save_open_lth(tmp_path / 'lottery_1', replicates=2)
    (folder / missing).rename(tmp_path / 'away')
    with pytest.raises(LthError, match=message):
        open_form('open_lth', folder)


def test_files_of_torch_prune_are_rounds_in_the_order_of_their_numbers(tmp_path):
    folder, _, module = save_pruned(tmp_path / 'pruned', rounds=3)
    found = open_form('torch-prune', folder)
    dense, _, last = (read() for read in found.rounds[0])
    assert [file.name for file in found.files] == ['round-8.pth', 'round-9.pth', 'round-10.pth']
    assert dense.masks == {} and dense.start is None and last.masks.keys() == {'first.weight', 'second.weight'}
    assert torch.equal(last.masks['first.weight'], module.first.weight_mask)
    assert torch.equal(last.trained['first.weight'], module.first.weight_orig)


@pytest.mark.parametrize('finetuned', [False, True])
def test_the_mask_of_a_gem_is_its_flag_where_scores_are_above_one_half(tmp_path, finetuned):
    folder, content = save_gem(tmp_path / 'gem', finetuned=finetuned)
    round_ = open_form('rare-gems', folder).rounds[0][0]()
    expected = (content['first.scores'] > 0.5) & (content['first.flag'] == 1)
    assert torch.equal(round_.masks['first.weight'] == 1, expected)
    names = {f'{layer}.{leaf}' for layer in ('first', 'second', 'head') for leaf in ('weight', 'bias')}
    assert round_.start.keys() == names
    assert torch.equal(round_.trained['head.weight'], (3 if finetuned else 1) * content['head.weight'])


def test_scores_of_edge_popup_are_refused_as_their_share_is_not_in_the_file(tmp_path):
    folder, content = save_gem(tmp_path / 'gem', finetuned=False)
    torch.save(content | {'first.scores': content['first.scores'] - 0.5}, folder / 'model_before_finetune.pth')
    with pytest.raises(LthError, match='edge-popup'):
        open_form('rare-gems', folder)


@pytest.mark.parametrize('form', ['torch-prune', 'rare-gems', 'open_lth'])
def test_what_is_no_ticket_is_refused(tmp_path, form):
    torch.save({'weight': torch.ones(3)}, tmp_path / 'model_before_finetune.pth')
    with pytest.raises(LthError, match='not a ticket|not a gem|not a run of open_lth'):
        open_form(form, tmp_path)
    with pytest.raises(LthError, match='does not exist'):
        open_form(form, tmp_path / 'nope')


def test_the_digest_is_that_of_all_files(tmp_path):
    folder, *_ = save_pruned(tmp_path / 'pruned')
    before = FORMS.find('torch-prune')(folder).digest
    assert FORMS.find('torch-prune')(folder).digest == before
    with open(folder / 'round-8.pth', 'ab') as file:
        file.write(b'x')
    assert FORMS.find('torch-prune')(folder).digest != before
