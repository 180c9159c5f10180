"""`lth import`: runs of other programs, and the commands on them."""
import json

import pytest
import torch

import lth as package
from lth.errors import LthError
from tests.foreign.foreign_files import OPEN_LTH_NAMES, save_gem, save_open_lth, save_pruned

PAIR = ('--model', 'lenet-300-100', '--dataset', 'digits')


def test_an_imported_run_has_the_masks_and_weights_of_its_files(lth, tmp_path):
    _, initial, module = save_pruned(tmp_path / 'pruned')
    result = lth('import', 'torch-prune', 'pruned', *PAIR, '--rewind', 'initial.pt', '--run', 'a')
    assert result.code == 0, result.err
    ticket = package.load_ticket('runs/a/seed-0/round-01')
    assert torch.equal(ticket.masks['dense1.weight'], module.first.weight_mask.bool())
    assert torch.equal(ticket.weights['dense1.weight'], initial['first.weight'] * module.first.weight_mask)
    assert torch.equal(ticket.trained['output.bias'], module.head.bias.detach())
    assert ticket.provenance['format'] == 2
    logits = ticket.as_trained().module()(torch.ones(2, 1, 8, 8))
    assert torch.allclose(logits, module(torch.ones(2, 64)), atol=1e-6)


def test_commands_work_on_an_imported_run(lth, tmp_path):
    save_pruned(tmp_path / 'pruned')
    lth('import', 'torch-prune', 'pruned', *PAIR, '--rewind', 'initial.pt', '--run', 'a')
    evaluated = json.loads(lth('evaluate', 'a', '--json').out)['evaluations']
    assert [one['round'] for one in evaluated] == [0, 1]
    assert all(one['test_accuracy_percent'] == one['recorded_accuracy_percent'] for one in evaluated)
    shown = lth('show', 'run', 'a')
    assert 'This run was imported from pruned (torch-prune).' in shown.out and 'undertrained' not in shown.out
    assert '--seeds' not in shown.out
    for command in (('finetune', 'a', '-e', '1'), ('sanity-check', 'a', '-e', '1', '--checks', 'reinit'),
                    ('transfer', 'a', '--to', 'digits', '--rounds', '1', '-e', '1'),
                    ('stability', 'a', '--between-rounds'), ('show', 'run', 'a', '--signs'), ('repair', 'a'),
                    ('plot', 'a', '-o', 'figures', '--figure', 'accuracy'), ('report', 'a', '-o', 'a.html')):
        result = lth(*command)
        assert result.code == 0, (command, result.err)


def test_rounds_without_rewound_weights_are_measured_but_not_trained_again(lth, tmp_path):
    save_pruned(tmp_path / 'pruned')
    result = lth('import', 'torch-prune', 'pruned', *PAIR, '--run', 'a')
    assert result.code == 0 and 'no weights from before training' in result.err
    assert not (tmp_path / 'runs/a/seed-0/round-01/ticket.safetensors').exists()
    assert lth('evaluate', 'a').code == 0 and lth('repair', 'a', '--dry-run').code == 0
    assert json.loads(lth('repair', 'a', '--dry-run', '--json').out)['damaged'] == []
    for command in (('finetune', 'a', '-e', '1'), ('sanity-check', 'a', '-e', '1', '--checks', 'reinit'),
                    ('show', 'run', 'a', '--signs'), ('stability', 'a', '--between-rounds')):
        refused = lth(*command)
        assert refused.code == 2 and 'import' in refused.err, command


def test_replicates_of_open_lth_are_seeds_with_the_settings_of_the_run(lth, tmp_path):
    save_open_lth(tmp_path / 'lottery_1', replicates=2)
    result = lth('import', 'open_lth', 'lottery_1', '--dataset', 'digits', '--run', 'a')
    assert result.code == 0, result.err
    run = package.open_run('a')
    assert run.seeds == (1, 2) and 'recorded a test accuracy of 0.9125' in ' '.join(result.err.split())
    ticket = run.ticket(seed=2, round=1)
    initial = torch.load(tmp_path / 'lottery_1/replicate_2/level_1/main/model_ep0_it5.pth', weights_only=True)
    for theirs, own in OPEN_LTH_NAMES.items():
        assert torch.equal(ticket.weights[f'{own}.weight'], initial[f'{theirs}.weight'])
    recipe = json.loads((tmp_path / 'runs/a/seed-2/round-01/round.json').read_text())
    assert recipe['iteration'] == 5


def test_a_gem_is_a_run_of_one_round(lth, tmp_path):
    _, content = save_gem(tmp_path / 'gem', finetuned=True)
    result = lth('import', 'rare-gems', 'gem', *PAIR, '--run', 'a')
    assert result.code == 0, result.err
    ticket = package.load_ticket('runs/a/seed-0/round-00')
    mask = (content['head.scores'] > 0.5) & (content['head.flag'] == 1)
    assert torch.equal(ticket.weights['output.weight'], content['head.weight'] * mask)
    assert torch.equal(ticket.trained['output.weight'], 3 * content['head.weight'] * mask)


def test_an_imported_run_is_not_resumed_as_a_search_and_its_search_is_not_repeated(lth, tmp_path):
    save_pruned(tmp_path / 'pruned')
    arguments = ('import', 'torch-prune', 'pruned', *PAIR, '--rewind', 'initial.pt', '--run', 'a')
    assert lth(*arguments).code == lth(*arguments).code == 0
    assert "holds a run of the algorithm 'imported'" in lth('find-ticket', 'lenet-300-100', 'digits', '--run', 'a').err
    assert 'cannot repeat its search' in lth('sanity-check', 'a', '--checks', 'random-labels').err
    refused = lth('find-ticket', 'lenet-300-100', 'digits', '--set', 'algorithm.name=imported', '--run', 'b')
    assert 'lth import FORM PATH' in refused.err
    (tmp_path / 'pruned/round-8.pth').write_bytes((tmp_path / 'pruned/round-9.pth').read_bytes())
    assert 'another recipe' in lth(*arguments).err


@pytest.mark.parametrize(('arguments', 'message'), [
    (('torch-prune', 'pruned', *PAIR[:3], 'mnist'), "'first' (bias (300,), weight (300, 64)) of the checkpoint"),
    (('torch-prune', 'pruned'), '--model MODEL and --dataset DATASET'), (('pickle', 'pruned', *PAIR), 'Unknown form'),
    (('torch-prune', 'initial.pt', *PAIR), 'is not a ticket'), (('rare-gems', 'initial.pt', *PAIR), 'is not a gem'),
    (('torch-prune', 'module.pt', *PAIR), "asks for 'torch.nn.modules"), (('open_lth', 'pruned'), 'level_0'),
    (('torch-prune', 'pruned', *PAIR, '--names', 'first=dense1,head=dense2'), 'does not fit the network'),
    (('torch-prune', 'pruned', *PAIR, '--seeds', '3'), 'no replicate 3'),
    (('torch-prune', 'pruned', *PAIR, '--set', 'algorithm.kept=[1]'), 'cannot be set')])
def test_files_that_do_not_fit_are_refused_and_nothing_is_written(lth, tmp_path, arguments, message):
    _, _, module = save_pruned(tmp_path / 'pruned')
    torch.save(module, tmp_path / 'module.pt')
    result = lth('import', *arguments, '--run', 'new')
    assert result.code == 2 and message in ' '.join(result.err.split()), result.err
    assert not (tmp_path / 'runs').exists()


def test_the_python_api_imports_a_run_with_a_module_as_the_model(lth, tmp_path):
    save_pruned(tmp_path / 'pruned')
    run = package.import_run(
        'torch-prune', 'pruned', model='lenet-300-100', data='digits', rewind='initial.pt', run='runs/b', threads=1,
        names={'first': 'dense1', 'second': 'dense2', 'head': 'output'})
    assert run.seeds == (0,) and run.ticket(seed=0, round=1).masks['dense1.weight'].float().mean() == 0.5
    with pytest.raises(LthError, match='does not exist'):
        package.import_run('torch-prune', 'nope', model='lenet-300-100', data='digits')
