"""The command line, as a person or a program meets it."""
import json
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch
import yaml

from lth.system import tensor_files

COMMANDS = (
    'find-ticket', 'find-gem', 'finetune', 'evaluate', 'sanity-check', 'transfer', 'stability', 'convert-config',
    'list', 'show', 'prepare', 'bench')
QUICK = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '2')


def dry(lth, *more: str) -> dict:
    result = lth('find-ticket', 'lenet-300-100', 'mnist', '--dry-run', '--json', *more)
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_help_shows_every_command_and_comes_at_once():
    took = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run([sys.executable, '-m', 'lth', '--help'], capture_output=True, text=True, check=True)
        took.append(time.monotonic() - began)
    assert all(command in done.stdout for command in COMMANDS)
    code = 'import sys, lth.cli; print("torch" in sys.modules, "pydantic" in sys.modules)'
    modules = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert modules.split() == ['False', 'False'], f'slow imports in --help, which took {min(took):.2f} s'


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_teaches_with_examples(lth, command):
    result = lth(command, '--help')
    assert result.code == 0 and f'lth {command} ' in result.out


def test_examples_are_shown_as_they_are_typed(lth):
    shown = lth('find-ticket', '--help').out
    assert "keep_out='[output]'" in shown
    assert re.search(r'find-ticket \[OPTIONS\] \W?MODEL\W? \W?DATASET\W? \[DATASETS\]', shown)


def test_version(lth):
    assert lth('--version').out == 'lth 0.1.0\n'


def test_a_dry_run_tells_all_counts_and_touches_nothing(lth, tmp_path):
    outline = dry(lth)
    assert (outline['model'], outline['dataset']) == ('lenet-300-100', 'mnist')
    assert (outline['prunable'], outline['weights']) == (266_200, 266_200)
    assert outline['layers'][0] == {
        'name': 'dense1.weight', 'shape': [300, 784], 'weights': 235_200, 'kind': 'dense', 'prunable': True}
    assert [row['round'] for row in outline['rounds']] == list(range(21))
    assert outline['rounds'][20]['density'] == pytest.approx(0.0119, abs=2e-4)
    assert outline['rounds'][1] == {'round': 1, 'kept': 213_060, 'density': 213_060 / 266_200}
    assert outline['recipe']['training']['length'] == '50 epochs'
    assert not list(tmp_path.iterdir())


def test_a_dry_run_for_people_shows_the_recipe_the_layers_and_the_rounds(lth):
    out = lth('find-ticket', 'resnet20', 'cifar10', '--dry-run').out
    assert 'rewind: 500 iterations' in out and 'classifier.weight' in out
    assert '267,696 of 270,896 weights can be pruned' in out


@pytest.mark.parametrize(('arguments', 'section', 'key', 'value'), [
    (['-i', '3'], 'algorithm', 'rounds', 3),
    (['-e', '7'], 'training', 'length', '7 epochs'),
    (['-b', '32'], 'training', 'batch_size', 32),
    (['-l', '0.01'], 'training', 'optimizer', {
        'name': 'adam', 'learning_rate': 0.01, 'betas': [0.9, 0.999], 'epsilon': 1e-8, 'weight_decay': 0.}),
    (['--set', 'training.length=300 iterations'], 'training', 'length', '300 iterations'),
    (['--set', 'algorithm.keep_out=[output]'], 'algorithm', 'keep_out', ['output']),
    (['--set', 'training.warmup=2 epochs'], 'training', 'warmup', '2 epochs'),
    (['--number-of-iterations', '2', '--set', 'algorithm.rounds=5'], 'algorithm', 'rounds', 5),
    (['--criterion', 'Large_Init'], 'algorithm', 'criterion', 'large-init'),
    (['--mask-1-action', 'reinit'], 'algorithm', 'mask_1_action', 'reinitialize'),
    (['--mask-0-action', 'freeze'], 'algorithm', 'mask_0_action', 'freeze'),
    (['--retrain', 'fine-tuning'], 'algorithm', 'retrain', 'fine-tuning')])
def test_every_option_that_decides_a_result_ends_up_in_the_recipe(lth, arguments, section, key, value):
    assert dry(lth, *arguments)['recipe'][section][key] == value


def test_i_counts_prunings(lth):
    assert [row['round'] for row in dry(lth, '-i', '3')['rounds']] == [0, 1, 2, 3]
    assert len(dry(lth, '-i', '0')['rounds']) == 1


def test_a_recipe_file_replaces_the_default(lth, tmp_path):
    recipe = dry(lth, '-i', '2')['recipe']
    recipe['training']['batch_size'] = 77
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(recipe))
    assert dry(lth, '--recipe', 'mine.yaml')['recipe'] == recipe


def test_a_dry_run_can_be_saved_and_given_back_as_a_recipe(lth, tmp_path):
    (tmp_path / 'mine.yaml').write_text(lth('find-ticket', 'resnet20', 'cifar10', '--dry-run').out)
    again = lth('find-ticket', 'resnet20', 'cifar10', '--recipe', 'mine.yaml', '--dry-run', '--json')
    first = lth('find-ticket', 'resnet20', 'cifar10', '--dry-run', '--json')
    assert again.code == 0, again.err
    assert again.out == first.out


def test_one_layer_to_keep_out_needs_no_brackets(lth):
    assert dry(lth, '--set', 'algorithm.keep_out=output')['recipe']['algorithm']['keep_out'] == ['output']


def test_a_pair_without_a_published_setting_says_which_settings_were_taken(lth):
    result = lth('find-ticket', 'conv-2', 'mnist', '--dry-run')
    assert 'no published recipe for conv-2 on mnist: using conv-2.yaml' in result.err


def test_a_milestone_that_is_never_reached_is_remarked(lth):
    result = lth('find-ticket', 'resnet20', 'cifar10', '-e', '2', '--dry-run')
    assert 'the milestone at 20000 iterations lies beyond the end of training' in result.err


def test_a_run_shows_its_rounds_and_its_folder_and_the_same_command_again_does_nothing_anew(lth, tmp_path):
    first = lth(*QUICK)
    assert first.code == 0
    assert 'seed 0  round 1/1  80.20% of weights  done  test ' in first.err
    assert 'Run folder: runs/lenet-300-100-digits' in first.out and 'one seed: no interval' in first.out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*') if path.is_file()}
    again = lth(*QUICK)
    assert again.out == first.out and again.err == ''
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*') if path.is_file()} == before


def test_json_of_a_run_has_a_mean_and_interval_a_round(lth):
    lth(*QUICK, '--seeds', '1')
    result = json.loads(lth(*QUICK, '--seeds', '0,1', '--json').out)
    assert result['seeds'] == [0, 1] and [row['kept'] for row in result['rounds']] == [50_200, 40_260]
    row = result['rounds'][1]
    alone = [outcome['test_accuracy'] for outcome in row['seeds']]
    assert row['test_accuracy']['mean'] == pytest.approx(sum(alone) / 2) and row['test_accuracy']['n'] == 2
    assert row['test_accuracy']['margin'] == pytest.approx(12.7062 * abs(alone[0] - alone[1]) / 2, rel=1e-4)


def test_metrics_have_a_line_per_measurement(lth, tmp_path):
    lth(*QUICK, '--set', 'training.measure_every=15 iterations')
    lines = (tmp_path / 'runs/lenet-300-100-digits/seed-0/round-01/metrics.jsonl').read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row['iteration'] for row in rows] == [0, 15, 30, 42]
    assert [row['early_stop'] for row in rows].count(True) == 1
    assert rows[0]['train_loss'] is None and all(0 < row['train_accuracy'] <= 1 for row in rows[1:])
    measured = ('validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy')
    assert all(row[key] >= 0 for row in rows for key in measured)


def test_the_session_is_recorded(lth, tmp_path):
    lth(*QUICK)
    (session,) = json.loads((tmp_path / 'runs/lenet-300-100-digits/environment.json').read_text())
    assert (session['engine'], session['device'], session['threads'], session['rounds']) == (
        'eager or sparse', 'cpu', 1, 2)
    assert session['torch'] == torch.__version__ and session['seconds'] > 0


def test_evaluate_measures_what_was_recorded(lth):
    lth(*QUICK)
    found = json.loads(lth('evaluate', 'lenet-300-100-digits', '--json').out)['evaluations']
    assert [one['round'] for one in found] == [0, 1]
    assert all(one['test_accuracy'] == one['recorded'] > 0.3 for one in found)
    assert found[1]['layers'] == [
        {'name': 'dense1.weight', 'kept': 15_360, 'weights': 19_200, 'above_threshold': None},
        {'name': 'dense2.weight', 'kept': 24_000, 'weights': 30_000, 'above_threshold': None},
        {'name': 'output.weight', 'kept': 900, 'weights': 1_000, 'above_threshold': None}]


@pytest.mark.parametrize(('below', 'count'), [('', 4), ('/seed-1', 2), ('/seed-1/round-01', 1)])
def test_evaluate_takes_a_run_a_seed_or_a_round(lth, below, count):
    lth(*QUICK)
    lth(*QUICK, '--seeds', '1')
    for start in ('lenet-300-100-digits', 'runs/lenet-300-100-digits'):
        assert len(json.loads(lth('evaluate', start + below, '--json').out)['evaluations']) == count
    shown = lth('evaluate', 'lenet-300-100-digits' + below).out
    assert 'dense1.weight' in shown and ('± ' in shown) == (count == 4)


def test_evaluate_tells_when_files_do_not_give_what_was_recorded(lth, tmp_path):
    lth(*QUICK)
    rounds = tmp_path / 'runs/lenet-300-100-digits/seed-0/round-01'
    header, tensors = tensor_files.read(rounds / 'trained.safetensors')
    tensors['output.bias'] += torch.arange(10) * 100.
    (rounds / 'trained.safetensors').write_bytes(tensor_files.encode(tensors, header))
    assert 'Note: seed 0, round 1: the recorded test accuracy is' in lth('evaluate', 'lenet-300-100-digits').err


@pytest.mark.parametrize('options', [
    ['--criterion', 'random', '--mask-1-action', 'reshuffle', '--mask-0-action', 'random-zero'],
    pytest.param(['--criterion', 'large-init-large-final', '--mask-1-action', 'reinitialize', '--mask-0-action',
                  'freeze'], marks=pytest.mark.slow),
    pytest.param(['--retrain', 'learning-rate-rewinding', '--mask-0-action', 'toward-zero'], marks=pytest.mark.slow),
    pytest.param(['--retrain', 'fine-tuning'], marks=pytest.mark.slow)])
def test_a_run_taken_apart_is_resumed_byte_for_byte_and_measured_afresh(lth, tmp_path, options):
    def search() -> dict[str, bytes]:
        result = lth(*QUICK, '-i', '3', '--seeds', '0-1', *options)
        assert result.code == 0, result.err
        return {str(path): path.read_bytes() for path in tmp_path.rglob('round-0?/*')}
    whole = search()
    for folder in [*tmp_path.rglob('seed-0/round-0[23]'), *tmp_path.rglob('seed-1/round-03')]:
        shutil.rmtree(folder)
    assert search() == whole and len(whole) == 2 * 4 * 4
    found = json.loads(lth('evaluate', 'lenet-300-100-digits', '--json').out)['evaluations']
    assert all(one['test_accuracy'] == one['recorded'] > 0.2 for one in found)


@pytest.mark.parametrize(('kind', 'name'), [
    ('models', 'resnet20'), ('datasets', 'cifar10'), ('recipes', 'lenet-300-100-mnist'),
    ('criteria', 'movement'), ('actions', 'rewind'), ('actions', 'toward-zero'), ('algorithms', 'magnitude'),
    ('checks', 'reinit')])
def test_list_shows_names_with_a_summary(lth, kind, name):
    assert name in lth('list', kind).out
    rows = json.loads(lth('list', kind, '--json').out)
    assert all(row['name'] and row['summary'] for row in rows)


@pytest.mark.parametrize(('arguments', 'says'), [
    (['find-ticket', 'resnet21', 'digits'], "Unknown model 'resnet21', did you mean 'resnet20'"),
    (['find-ticket', 'lenet-300-100', 'minst'], "Unknown data set 'minst', did you mean 'mnist'"),
    ([*QUICK, '--set', 'training.epoch=3'], "training: unknown key 'epoch', did you mean 'length'?"),
    ([*QUICK, '--set', 'trainig.length=3 epochs'], "unknown key 'trainig', did you mean 'training'?"),
    ([*QUICK, '--set', 'training'], 'write it as KEY=VALUE'),
    ([*QUICK, '--set', 'training.length=[1'], 'not valid YAML'),
    ([*QUICK, '--set', 'training.batch_size=many'], "it is 'many'"),
    ([*QUICK, '--set', 'algorithm.rates.dense=1.5'], 'less than 1; it is 1.5'),
    ([*QUICK, '--set', 'algorithm=3'], 'expected settings with a name'),
    ([*QUICK, '-i', '-1'], 'greater than or equal to 0; it is -1'),
    ([*QUICK, '-l', '0'], 'greater than 0; it is 0'),
    ([*QUICK, '-l', 'nan'], 'it is nan'),
    ([*QUICK, '--set', 'algorithm.rewind=99 epochs'], 'is not before the end of training, 2 epochs'),
    ([*QUICK, '-b', '2000'], '2000 is more than the 1294 training images of digits'),
    ([*QUICK, '--set', 'data.validation=1437'], 'more than the 0 training pictures'),
    ([*QUICK, '--recipe', 'none.yaml'], "no recipe file 'none.yaml'"),
    ([*QUICK, '--recipe', 'resnet20-cifar10'], "is for 'resnet20'"),
    ([*QUICK, '--set', 'training.optimizer.betas=[1.5, 0.9]'], 'less than 1; it is 1.5'),
    ([*QUICK, '--set', 'training.optimizer.betas=[0.9]'], "betas: the key '1' is missing"),
    ([*QUICK, '--set', 'algorithm.rates=[1]'], 'it is [1]'),
    ([*QUICK, '--set', 'training.batch_size=' + '9' * 5000], 'not valid YAML'),
    ([*QUICK, '--set', 'training.x=' + '[' * 3000], 'not valid YAML'),
    ([*QUICK, '--set', 'training.length=9999999999999 iterations'], "such as '50 epochs'"),
    ([*QUICK, '--set', 'training.optimizer.weight_decay=.inf'], 'finite number'),
    ([*QUICK, '--set', 'training.schedule.name=cosinus'], "unknown name 'cosinus', did you mean 'cosine'?"),
    ([*QUICK, '--set', 'algorithm.criterion=magnitudo'], "Unknown criterion 'magnitudo', did you mean 'magnitude'"),
    ([*QUICK, '--mask-0-action', 'zeros'], "Unknown mask-0 action 'zeros', did you mean 'zero'"),
    ([*QUICK, '--mask-1-action', 'reshuffle', '--retrain', 'fine-tuning'], 'weights are never rewound'),
    ([*QUICK, '--retrain', 'rewinding'], "'rewinding' is not one of"),
    ([*QUICK, '--set', 'model.name=conv-2'], "this recipe is for 'conv-2', not for 'lenet-300-100'"),
    ([*QUICK, '--set', 'data.name=mnist'], "this recipe is for 'mnist', not for 'digits'"),
    ([*QUICK, '--run', ''], 'The name of the run is empty'),
    ([*QUICK, '--run', 'x' * 300], 'File name too long'),
    ([*QUICK, '--recipe', 'x' * 300], 'File name too long'),
    ([*QUICK, '-b', '1294', '-e', '1', '-l', '1e30'], 'no longer a finite number at iteration'),
    ([*QUICK, '--seeds', 'one'], "--seeds: 'one' is not a list of numbers"),
    ([*QUICK, '--seeds', '4-2'], "--seeds: '4-2' is not a list of numbers"),
    ([*QUICK, '--device', 'tpu'], "Unknown device 'tpu'"),
    ([*QUICK, '--set', 'algorithm.keep_out=[shortcuts]'], "no layer matches 'shortcuts'"),
    ([*QUICK, '-l', '1e30', '--set', 'training.optimizer.name=adam'], 'no longer a finite number at iteration'),
    (['evaluate', 'nothing'], 'nothing is no run'),
    (['list', 'modles'], 'modles')])
def test_a_mistake_gets_a_paragraph_and_exit_code_2_and_leaves_nothing_behind(lth, tmp_path, arguments, says):
    result = lth(*arguments)
    assert result.code == 2
    assert says in ' '.join(result.err.split())
    assert result.out == '' and 'Traceback' not in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_cuda_asked_for_where_there_is_none_is_an_error(lth, tmp_path):
    result = lth(*QUICK, '--device', 'cuda')
    assert result.code == 2 and 'is not available' in result.err and not list(tmp_path.iterdir())


def test_a_run_of_other_settings_in_the_same_folder_is_refused_and_left_alone(lth, tmp_path):
    lth(*QUICK)
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    result = lth(*QUICK, '-b', '30')
    assert result.code == 2 and 'training.batch_size: 60 / 30' in result.err and '--run' in result.err
    assert {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()} == before
    assert lth(*QUICK, '-b', '30', '--run', 'other').code == 0 and (tmp_path / 'runs/other/recipe.yaml').exists()


def test_spellings_sources_and_settings_that_are_new_do_not_make_a_run_foreign(lth, tmp_path):
    first = lth(*QUICK)
    path = tmp_path / 'runs/lenet-300-100-digits/recipe.yaml'
    stored = yaml.safe_load(path.read_text())
    stored['source'] = 'my thesis'
    stored['algorithm']['criterion'] = 'large_final'
    del stored['training']['precision']
    path.write_text(yaml.safe_dump(stored))
    again = lth('find-ticket', 'LeNet-300-100', 'digits', *QUICK[3:], '--set', 'algorithm.name=Magnitude')
    assert again.code == 0
    assert again.out == first.out


def test_names_in_a_recipe_file_may_be_spelt_as_on_the_command_line(lth, tmp_path):
    text = lth('find-ticket', 'resnet20', 'cifar10', '--dry-run', '--json', '--set', 'model.shortcut=identity')
    recipe = json.loads(text.out)['recipe']
    recipe['model']['name'], recipe['data']['name'] = 'ResNet-20', 'CIFAR-10'
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(recipe))
    found = json.loads(lth('find-ticket', 'resnet-20', 'cifar-10', '--recipe', 'mine.yaml', '--dry-run', '--json').out)
    assert found['recipe']['model'] == {
        'name': 'resnet20', 'initializer': 'glorot-normal', 'shortcut': 'identity', 'norm': 'affine'}
    assert found['recipe']['data']['crop'] == 4


def test_a_successful_run_touches_nothing_but_its_folder_and_says_which_engine_computes(lth, tmp_path):
    (tmp_path / 'data').mkdir()
    result = lth(*QUICK, 'data', '--threads', '2')
    assert result.code == 0
    assert 'Engine: eager or sparse on cpu, threads for each seed: 2' in result.err
    assert torch.get_num_threads() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data', 'runs']
    assert not list((tmp_path / 'data').iterdir())
    assert [path.name for path in (tmp_path / 'runs').iterdir()] == ['lenet-300-100-digits']


@pytest.mark.parametrize('how', ['argument', 'variable'])
def test_the_data_folder_is_the_one_that_was_named(lth, tmp_path, monkeypatch, how):
    file = tmp_path / 'there' / 'MNIST' / 'raw' / 't10k-labels-idx1-ubyte'
    file.parent.mkdir(parents=True)
    file.write_bytes(b'?')
    if how == 'variable':
        monkeypatch.setenv('LTH_DATASETS', 'there')
    result = lth('find-ticket', 'lenet-300-100', 'mnist', *(['there'] if how == 'argument' else []))
    assert result.code == 2
    assert 'there/MNIST/raw/t10k-labels-idx1-ubyte is damaged' in result.err


def test_rounds_that_prune_nothing_are_remarked(lth):
    result = lth(*QUICK, '--set', 'algorithm.rates=0.00001', '--dry-run')
    assert '1 rounds from round 1 on prune nothing' in result.err


def test_evaluate_of_a_run_without_a_whole_round_says_so(lth, tmp_path):
    lth(*QUICK)
    (tmp_path / 'runs/lenet-300-100-digits/seed-0').rename(tmp_path / 'away')
    result = lth('evaluate', 'lenet-300-100-digits')
    assert result.code == 2
    assert 'has no whole round yet' in result.err


def test_a_file_in_the_place_of_the_run_folder_is_refused(lth, tmp_path):
    (tmp_path / 'file').write_text('')
    assert 'is a file' in lth(*QUICK, '--run', './file').err


def test_a_reader_that_goes_away_is_no_error():
    listing = subprocess.run(f'{sys.executable} -m lth list models | head -c 0; exit ${{PIPESTATUS[0]}}', shell=True,
                             executable='/bin/bash', capture_output=True, text=True, check=False)
    assert (listing.returncode, listing.stderr) == (0, '')


def test_output_that_cannot_be_written_is_an_error():
    with open('/dev/full', 'w', encoding='utf-8') as full:
        listing = subprocess.run([sys.executable, '-m', 'lth', 'list', 'models', '--json'], stdout=full,
                                 stderr=subprocess.PIPE, text=True, check=False)
    assert listing.returncode == 3
    assert 'No space left on device' in listing.stderr


def test_a_torn_round_is_named_on_resume(lth, tmp_path):
    lth(*QUICK)
    torn = tmp_path / 'runs/lenet-300-100-digits/seed-0/round-00/ticket.safetensors'
    torn.write_bytes(torn.read_bytes()[:1000])
    (tmp_path / 'runs/lenet-300-100-digits/seed-0/round-01').rename(tmp_path / 'away')
    result = lth(*QUICK)
    assert result.code == 2 and 'round-00/ticket.safetensors is corrupt' in ' '.join(result.err.split())


def test_a_seed_that_diverges_among_others_stops_the_run_with_its_reason(lth):
    result = lth(*QUICK, '--seeds', '0-1', '-l', '1e30')
    assert result.code == 2 and 'is no longer a finite number at iteration' in result.err


def test_evaluate_of_a_seed_or_round_that_is_not_there_says_which_are(lth):
    lth(*QUICK)
    assert 'its seeds are [0]' in lth('evaluate', 'lenet-300-100-digits/seed-3').err
    assert 'seed 0 has 2 rounds' in lth('evaluate', 'lenet-300-100-digits/seed-0/round-07').err
