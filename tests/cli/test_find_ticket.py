"""`lth find-ticket`: options, dry runs, run folders, and resuming."""
import json
import shutil
import time

import pytest
import torch
import yaml

from tests.printed_json import printed_json
from tests.round_files import session_entries

QUICK = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '2')


def dry(lth, *more: str) -> dict:
    return printed_json(lth, 'find-ticket', 'lenet-300-100', 'mnist', '--dry-run', *more)


def test_a_dry_run_prints_all_counts_and_writes_no_files(lth, tmp_path):
    outline = dry(lth)
    assert (outline['model'], outline['dataset']) == ('lenet-300-100', 'mnist')
    assert (outline['prunable'], outline['weights']) == (266_200, 266_200)
    assert outline['layers'][0] == {
        'name': 'dense1.weight', 'shape': [300, 784], 'weights': 235_200, 'kind': 'dense', 'prunable': True,
        'multiply_adds': 235_200}
    assert [row['round'] for row in outline['rounds']] == list(range(21))
    assert outline['rounds'][20]['density_percent'] == pytest.approx(1.19, abs=2e-2)
    assert outline['rounds'][1] == {
        'round': 1, 'kept': 213_060, 'density_percent': pytest.approx(100 * 213_060 / 266_200),
        'multiply_adds': 213_060}
    assert outline['recipe']['training']['length'] == '50 epochs'
    assert not list(tmp_path.iterdir())


def test_a_dry_run_prints_the_recipe_the_layers_and_the_rounds(lth):
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
    (['--set', 'algorithm.rounds=5'], 'algorithm', 'rounds', 5),
    (['--criterion', 'Large_Init'], 'algorithm', 'criterion', 'large-init'),
    (['--mask-1-action', 'reinit'], 'algorithm', 'mask_1_action', 'reinitialize'),
    (['--mask-0-action', 'freeze'], 'algorithm', 'mask_0_action', 'freeze'),
    (['--retrain', 'fine-tuning'], 'algorithm', 'retrain', 'fine-tuning')])
def test_every_option_that_decides_a_result_is_in_the_recipe(lth, arguments, section, key, value):
    assert dry(lth, *arguments)['recipe'][section][key] == value


def test_option_i_is_the_number_of_prunings(lth):
    assert [row['round'] for row in dry(lth, '-i', '3')['rounds']] == [0, 1, 2, 3]
    assert len(dry(lth, '-i', '0')['rounds']) == 1


def test_a_recipe_file_replaces_the_default(lth, tmp_path):
    recipe = dry(lth, '-i', '2')['recipe']
    recipe['training']['batch_size'] = 77
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(recipe))
    assert dry(lth, '--recipe', 'mine.yaml')['recipe'] == recipe


def test_the_output_of_a_dry_run_can_be_used_as_a_recipe(lth, tmp_path):
    (tmp_path / 'mine.yaml').write_text(lth('find-ticket', 'resnet20', 'cifar10', '--dry-run').out)
    again = lth('find-ticket', 'resnet20', 'cifar10', '--recipe', 'mine.yaml', '--dry-run', '--json')
    first = lth('find-ticket', 'resnet20', 'cifar10', '--dry-run', '--json')
    assert again.code == 0, again.err
    assert again.out == first.out


def test_keep_out_accepts_one_layer_without_brackets(lth):
    assert dry(lth, '--set', 'algorithm.keep_out=output')['recipe']['algorithm']['keep_out'] == ['output']


def test_a_note_names_the_recipe_if_none_is_published_for_the_model_and_data_set(lth):
    result = lth('find-ticket', 'conv-2', 'mnist', '--dry-run')
    assert 'no published recipe for conv-2 on mnist: using conv-2.yaml' in result.err


def test_a_note_warns_of_a_milestone_that_is_never_reached(lth):
    result = lth('find-ticket', 'resnet20', 'cifar10', '-e', '2', '--dry-run')
    assert 'the milestone at 20000 iterations is after the end of training' in result.err


def test_a_run_prints_its_rounds_and_folder_and_repeating_the_command_changes_nothing(lth, tmp_path):
    first = lth(*QUICK)
    assert first.code == 0
    assert 'seed 0  round 1/1  80.20% of weights  done  test ' in first.err
    assert 'Run folder: runs/lenet-300-100-digits' in first.out and 'one seed: no interval' in first.out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*') if path.is_file()}
    again = lth(*QUICK)
    assert again.out == first.out and again.err == ''
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*') if path.is_file()} == before


def test_json_of_a_run_has_a_mean_and_interval_for_each_round(lth):
    lth(*QUICK, '--seeds', '1')
    result = json.loads(lth(*QUICK, '--seeds', '0,1', '--json').out)
    assert result['seeds'] == [0, 1] and [row['kept'] for row in result['rounds']] == [50_200, 40_260]
    row = result['rounds'][1]
    alone = [outcome['test_accuracy_percent'] for outcome in row['seeds']]
    mean = row['test_accuracy_percent']
    assert mean['mean'] == pytest.approx(sum(alone) / 2) and mean['n'] == 2
    assert mean['margin'] == pytest.approx(12.7062 * abs(alone[0] - alone[1]) / 2, rel=1e-4)


def test_metrics_have_one_line_per_measurement(lth, tmp_path):
    lth(*QUICK, '--set', 'training.measure_every=15 iterations')
    lines = (tmp_path / 'runs/lenet-300-100-digits/seed-0/round-01/metrics.jsonl').read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row['iteration'] for row in rows] == [0, 15, 30, 42]
    assert [row['early_stop'] for row in rows].count(True) == 1
    assert rows[0]['train_loss'] is None and all(0 < row['train_accuracy'] <= 1 for row in rows[1:])
    measured = ('validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy')
    assert all(row[key] >= 0 for row in rows for key in measured)


def test_a_session_is_recorded(lth, tmp_path):
    lth(*QUICK)
    (session,) = session_entries(tmp_path / 'runs/lenet-300-100-digits')
    assert (session['engine'], session['device'], session['threads'], session['rounds']) == (
        'eager or sparse', 'cpu', 1, 2)
    assert session['torch'] == torch.__version__


@pytest.mark.parametrize('options', [
    ['--criterion', 'random', '--mask-1-action', 'reshuffle', '--mask-0-action', 'random-zero'],
    pytest.param(['--criterion', 'large-init-large-final', '--mask-1-action', 'reinitialize', '--mask-0-action',
                  'freeze'], marks=pytest.mark.slow),
    pytest.param(['--retrain', 'learning-rate-rewinding', '--mask-0-action', 'toward-zero'], marks=pytest.mark.slow),
    pytest.param(['--retrain', 'fine-tuning'], marks=pytest.mark.slow)])
def test_rounds_that_were_removed_are_trained_again_byte_for_byte_on_resume(lth, tmp_path, options):
    def search() -> dict[str, bytes]:
        result = lth(*QUICK[:3], '-i', '3', '-e', '2', '--seeds', '0-1', *options)
        assert result.code == 0, result.err
        return {str(path): path.read_bytes() for path in tmp_path.rglob('round-0?/*')}
    complete = search()
    for folder in [*tmp_path.rglob('seed-0/round-0[23]'), *tmp_path.rglob('seed-1/round-03')]:
        shutil.rmtree(folder)
    assert search() == complete and len(complete) == 2 * 4 * 6
    found = json.loads(lth('evaluate', 'lenet-300-100-digits', '--json').out)['evaluations']
    assert all(one['test_accuracy_percent'] == one['recorded_accuracy_percent'] > 20 for one in found)


def test_a_run_with_other_settings_in_the_same_folder_is_refused_and_not_changed(lth, tmp_path):
    lth(*QUICK)
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    result = lth(*QUICK, '-b', '30')
    assert result.code == 2 and 'training.batch_size: 60 / 30' in result.err and '--run' in result.err
    assert {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()} == before
    assert lth(*QUICK, '-b', '30', '--run', 'other').code == 0 and (tmp_path / 'runs/other/recipe.yaml').exists()


def test_a_run_is_resumed_if_only_spelling_or_source_differ(lth, tmp_path):
    first = lth(*QUICK)
    path = tmp_path / 'runs/lenet-300-100-digits/recipe.yaml'
    stored = yaml.safe_load(path.read_text())
    stored['source'] = 'my thesis'
    stored['algorithm']['criterion'] = 'large_final'
    path.write_text(yaml.safe_dump(stored))
    again = lth('find-ticket', 'LeNet-300-100', 'digits', *QUICK[3:], '--set', 'algorithm.name=Magnitude')
    assert again.code == 0
    assert again.out == first.out


def test_names_in_a_recipe_file_can_be_spelled_as_on_the_command_line(lth, tmp_path):
    text = lth('find-ticket', 'resnet20', 'cifar10', '--dry-run', '--json', '--set', 'model.shortcut=identity')
    recipe = json.loads(text.out)['recipe']
    recipe['model']['name'], recipe['data']['name'] = 'ResNet-20', 'CIFAR-10'
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(recipe))
    found = json.loads(lth('find-ticket', 'resnet-20', 'cifar-10', '--recipe', 'mine.yaml', '--dry-run', '--json').out)
    assert found['recipe']['model'] == {
        'name': 'resnet20', 'initializer': 'glorot-normal', 'initializer_gain': 1, 'shortcut': 'identity',
        'norm': 'affine'}
    assert found['recipe']['data']['crop'] == 4


def test_a_run_writes_only_to_its_folder_and_prints_its_engine(lth, tmp_path):
    (tmp_path / 'data').mkdir()
    result = lth(*QUICK, 'data', '--threads', '2')
    assert result.code == 0
    assert 'Engine: eager or sparse on cpu, threads for each seed: 2' in result.err
    assert torch.get_num_threads() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data', 'runs']
    assert not list((tmp_path / 'data').iterdir())
    assert [path.name for path in (tmp_path / 'runs').iterdir()] == ['lenet-300-100-digits']


@pytest.mark.parametrize('how', ['argument', 'variable'])
def test_the_folder_of_data_sets_is_an_argument_or_an_environment_variable(lth, tmp_path, monkeypatch, how):
    file = tmp_path / 'there' / 'MNIST' / 'raw' / 't10k-labels-idx1-ubyte'
    file.parent.mkdir(parents=True)
    file.write_bytes(b'?')
    if how == 'variable':
        monkeypatch.setenv('LTH_DATASETS', 'there')
    result = lth('find-ticket', 'lenet-300-100', 'mnist', *(['there'] if how == 'argument' else []))
    assert result.code == 2
    assert 'there/MNIST/raw/t10k-labels-idx1-ubyte is corrupt' in result.err


def test_rounds_that_would_prune_nothing_are_refused(lth):
    result = lth('find-ticket', 'lenet-300-100', 'digits', '--dry-run', '-i', '60')
    assert result.code == 2 and 'Give at most 50 rounds (-i), or a higher rate.' in ' '.join(result.err.split())
    assert lth('find-ticket', 'lenet-300-100', 'digits', '--dry-run', '-i', '50').code == 0


@pytest.mark.parametrize(('options', 'message'), [
    (('-i', '100000000'), 'rounds: it should be less than or equal to 1000; it is 100000000.'),
    (('-e', '999999999'), 'Train for at most 20,000,000, 952,380 epochs.'),
    (('-e', '9999999999'), '--number-of-epochs: 9999999999 is too large. Give at most 999,999,999.'),
    (('--set', 'model=null'), 'model: expected settings with a name, such as `model: {name: lenet-300-100}`, not None'),
    (('--set', 'data=null'), 'data: expected settings with a name'),
    (('--set', 'algorithm.name=gem-miner'), 'lth find-gem MODEL DATASET --sparsity PERCENT --algorithm gem-miner'),
    (('--set', 'algorithm.name=finetune'), "'finetune' starts from the tickets of another run"),
    (('--seeds', '0-99999'), "--seeds: '0-99999' has too many numbers. Give at most 10,001."),
    (('--seeds', '0-9999,20000-29999'), 'Give at most 10,001.')])
def test_settings_out_of_their_limits_are_refused_at_once_with_the_limit(lth, options, message):
    began = time.monotonic()
    result = lth('find-ticket', 'lenet-300-100', 'digits', '--dry-run', *options)
    assert result.code == 2 and message in ' '.join(result.err.split())
    assert time.monotonic() - began < 10
