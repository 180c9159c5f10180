"""The choice of an engine: by rule or by option, recorded in every round, kept when a run is resumed."""
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lth.cli import console
from tests.round_files import header, session_entries

SEARCH = 'find-ticket', 'lenet-300-100', 'digits', '-i', '4', '-e', '1'


def engines_of(run: Path, seed: int = 0) -> list[str]:
    files = sorted(run.glob(f'seed-{seed}/round-*/trained.safetensors'))
    return [header(file)['engine'] for file in files]


def choices(run: Path) -> list[str]:
    return [session['choice'] for session in session_entries(run)]


@pytest.mark.parametrize(('options', 'expected'), [
    ((), ['sparse'] * 5), (('-b', '32'), ['eager'] + ['sparse'] * 4), (('--engine', 'eager'), ['eager'] * 5),
    (('-b', '32', '--engine', 'sparse'), ['sparse'] * 5)])
def test_every_round_records_its_engine(lth, tmp_path, options, expected):
    rounds = json.loads(lth(*SEARCH, *options, '--json').out)['rounds']
    assert engines_of(tmp_path / 'runs/lenet-300-100-digits') == expected
    assert [one['seeds'][0]['engine'] for one in rounds] == expected


def assert_engines_agree(lth, *search: str, rounds: int) -> None:
    """Eager and sparse, ten seeds: no round differs, by paired t tests at 0.1% for all rounds together (Bonferroni)."""

    accuracies = {}
    for choice in ('eager', 'sparse'):
        result = lth(*search, '--seeds', '0-9', '--engine', choice, '--run', choice, '--json')
        found = json.loads(result.out)['rounds']
        accuracies[choice] = [[seed['test_accuracy_percent'] for seed in one['seeds']] for one in found]
    differences = np.subtract(accuracies['eager'], accuracies['sparse'])
    assert differences.shape == (rounds, 10)
    assert not (stats.ttest_1samp(differences, 0, axis=1).pvalue < 0.001 / rounds).any()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_engines_agree_over_all_rounds_of_ten_seeds(lth):
    assert_engines_agree(lth, *SEARCH[:3], rounds=16)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_engines_agree_over_all_rounds_on_mnist(lth, real_data):
    assert_engines_agree(
        lth, 'find-ticket', 'lenet-300-100', 'mnist', str(real_data('MNIST')), '-e', '1', '-i', '4', '--set',
        'algorithm.density=0.0115', rounds=5)


def test_a_run_is_resumed_with_the_engine_it_was_started_with(lth, tmp_path):
    run = tmp_path / 'runs/lenet-300-100-digits'
    lth(*SEARCH, '--engine', 'eager')
    lth(*SEARCH, '--seeds', '0-1')
    assert engines_of(run, 1) == ['eager'] * 5
    lth(*SEARCH, '--seeds', '2', '--engine', 'sparse')
    assert engines_of(run, 2) == ['sparse'] * 5
    assert choices(run) == ['eager', 'eager', 'sparse']


@pytest.mark.parametrize('recorded', [{}, {'choice': 'plain'}])
def test_a_run_of_an_earlier_version_is_resumed_with_the_eager_engine(lth, tmp_path, recorded):
    run = tmp_path / 'runs/lenet-300-100-digits'
    lth(*SEARCH, '--engine', 'eager')
    (session,) = session_entries(run)
    session.pop('choice')
    shutil.rmtree(run / 'sessions')
    (run / 'environment.json').write_text(json.dumps([session | recorded]))
    lth(*SEARCH, '--seeds', '1')
    assert engines_of(run, 1) == ['eager'] * 5


def test_the_former_name_of_the_eager_engine_is_accepted(lth, tmp_path):
    lth(*SEARCH, '--engine', 'plain')
    run = tmp_path / 'runs/lenet-300-100-digits'
    assert engines_of(run, 0) == ['eager'] * 5 and choices(run) == ['eager']


def test_the_sparse_engine_for_an_unsupported_network_is_an_error(lth, tmp_path):
    result = lth('find-ticket', 'resnet20', 'cifar10', str(tmp_path), '--engine', 'sparse')
    assert result.code == 2 and not (tmp_path / 'runs').exists()
    assert ('resnet20 is not a chain of convolutions and dense layers with ReLU between them. Use --engine auto'
            in result.err)


def test_finetune_uses_the_requested_engine(lth, tmp_path):
    lth(*SEARCH)
    lth('finetune', 'lenet-300-100-digits', '-e', '1', '--engine', 'eager')
    finetuned, = tmp_path.glob('runs/lenet-300-100-digits-finetuned-round-*')
    assert engines_of(finetuned) == ['eager']


@pytest.mark.parametrize(('choice', 'expected'), [((), 'sparse'), (('--engine', 'eager'), 'eager')])
def test_checks_transfers_and_controls_use_the_requested_engine(lth, choice, expected):
    runs = Path('runs')
    short = 'find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--set', 'algorithm.rates=0.7'
    lth(*short, '--controls', 'reinit', '--run', 'ticket', *choice)
    assert engines_of(runs / 'ticket-controls/reinit')[1:] == [expected]
    lth('sanity-check', 'ticket', '--checks', 'erk', *choice)
    assert engines_of(runs / 'ticket-checks-round-01/erk') == [expected]
    lth('transfer', 'ticket', '--to', 'digits', '--rounds', '1', '-e', '1', '--random-tickets', *choice)
    for name in ('ticket-to-digits-round-01', 'ticket-to-digits-round-01-controls/random'):
        assert engines_of(runs / name) == [expected]


@pytest.mark.parametrize('choice', ['eager', 'sparse'])
def test_finetuning_and_checks_of_a_gem_use_the_requested_engine_and_its_search_the_eager_one(lth, choice):
    lth('find-gem', 'lenet-300-100', 'digits', '--sparsity', '10', '-e', '2', '--run', 'gem', '--finetune',
        '--algorithm', 'edge-popup', '--engine', choice)
    runs = Path('runs')
    finetuned, = runs.glob('gem-finetuned-round-*')
    assert set(engines_of(runs / 'gem')) == {'eager'} and engines_of(finetuned) == [choice]
    lth('sanity-check', 'gem', '-e', '1', '--checks', 'invert-scores', '--engine', choice)
    checked, = runs.glob('gem-checks-round-*')
    assert engines_of(checked / 'invert-scores') == [choice]


@pytest.mark.parametrize(('options', 'message'), [
    (('lenet-300-100', 'digits'), 'the algorithm trains scores or nothing, not weights'),
    (('resnet20', 'digits', '--finetune'), 'resnet20 is not a chain of convolutions')])
def test_an_unsupported_sparse_engine_for_a_gem_is_an_error_before_the_search(lth, options, message):
    result = lth('find-gem', *options, '--sparsity', '10', '--engine', 'sparse')
    assert result.code == 2 and f'The sparse engine cannot train this recipe: {message}' in ' '.join(result.err.split())
    assert not Path('runs').exists()


def test_evaluate_measures_the_recorded_accuracy_with_either_engine(lth):
    for choice in ('eager', 'sparse'):
        lth(*SEARCH, '--engine', choice, '--run', choice)
        found = json.loads(lth('evaluate', choice, '--json').out)['evaluations']
        assert [one['test_accuracy_percent'] for one in found] == [one['recorded_accuracy_percent'] for one in found]


def test_the_table_and_evaluate_show_connected_inputs_and_units(lth, monkeypatch):
    table = lth(*SEARCH, '--engine', 'sparse')
    assert 'inputs' in table.out and 'still connected to the output' in table.out
    monkeypatch.setattr(console.out, 'width', 80)
    narrow = lth(*SEARCH, '--engine', 'sparse').out
    assert 'inputs' not in narrow and 'test % at stop' in narrow, 'headings and cells are not wrapped in 80 columns'
    rounds = json.loads(lth(*SEARCH, '--json').out)['rounds']
    carrying = [one['seeds'][0]['connected'] for one in rounds]
    assert carrying[0] == {'inputs': 61, 'total_inputs': 64, 'units': 410, 'total_units': 410}
    assert carrying[4]['units'] <= 410
    found = json.loads(lth('evaluate', 'lenet-300-100-digits/seed-0/round-00', '--json').out)['evaluations'][0]
    assert [(layer['name'], layer['inputs'], layer['units']) for layer in found['connected']] == [
        ('dense1.weight', 61, 300), ('dense2.weight', 300, 100), ('output.weight', 100, 10)]
    assert '300 of 300' in lth('evaluate', 'lenet-300-100-digits/seed-0/round-00').out
