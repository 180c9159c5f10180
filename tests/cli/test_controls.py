"""Controls on the command line: rows in the table of the tickets, and runs that can be resumed."""
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.round_files import contents

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2')
CONTROLLED = (*SEARCH, '--controls', 'reinit,Random_Layer,permute-mask')
CONTROL_RUNS = Path('runs/lenet-300-100-digits-controls')


def test_controls_are_rows_below_each_round_and_objects_in_json(lth):
    # Seed by seed: seeds side by side are processes that take seconds to start.
    lth(*CONTROLLED, '--seeds', '3')
    lth(*CONTROLLED)
    result = lth(*CONTROLLED, '--seeds', '0,3')
    assert result.code == 0, result.err
    rows = [line.split() for line in result.out.splitlines() if line[1:2].isdigit()]
    assert [row[:2] if row[1][0].isalpha() else row[:1] for row in rows] == [
        ['0'], ['1'], ['1', 'reinit'], ['1', 'shuffle-mask'], ['1', 'permute-mask'],
        ['2'], ['2', 'reinit'], ['2', 'shuffle-mask'], ['2', 'permute-mask']]
    found = json.loads(lth(*CONTROLLED, '--seeds', '0,3', '--json').out)
    assert list(found['controls']) == ['reinit', 'shuffle-mask', 'permute-mask']
    for control in found['controls'].values():
        assert [row['round'] for row in control] == [1, 2]
        for control_row, row in zip(control, found['rounds'][1:], strict=True):
            assert control_row['kept'] == row['kept'] and control_row['test_accuracy_percent']['n'] == 2
            assert control_row['test_accuracy_percent']['mean'] != row['test_accuracy_percent']['mean']


def test_controls_are_runs_that_can_be_evaluated_and_do_not_change_the_search(lth):
    lth(*SEARCH)
    before = contents(Path('runs/lenet-300-100-digits'))
    assert lth(*CONTROLLED).code == 0
    assert contents(Path('runs/lenet-300-100-digits')) == before
    measured = json.loads(lth('evaluate', 'lenet-300-100-digits-controls/shuffle-mask', '--json').out)['evaluations']
    assert len(measured) == 3
    assert all(one['test_accuracy_percent'] == one['recorded_accuracy_percent'] for one in measured)
    for name in ('mask', 'ticket', 'trained'):
        control, search = (load_file(folder / f'seed-0/round-00/{name}.safetensors') for folder in (
            CONTROL_RUNS / 'reinit', Path('runs/lenet-300-100-digits')))
        assert control.keys() == search.keys() and all((control[key] == search[key]).all() for key in search)


def test_interrupted_controls_are_resumed_byte_for_byte(lth):
    lth(*CONTROLLED)
    complete = contents(CONTROL_RUNS)
    shutil.rmtree(CONTROL_RUNS / 'reinit/seed-0/round-02')
    shutil.rmtree(CONTROL_RUNS / 'shuffle-mask/seed-0/round-01')
    shutil.rmtree(CONTROL_RUNS / 'shuffle-mask/seed-0/round-02')
    shutil.rmtree(CONTROL_RUNS / 'permute-mask')
    assert lth(*CONTROLLED).code == 0 and contents(CONTROL_RUNS) == complete


def test_draws_of_a_control_are_separate_runs_and_their_mean_counts_as_one_value_per_seed(lth):
    command = (*SEARCH[:3], '-i', '1', '-e', '1', '--controls', 'reinit', '--control-draws')
    lth(*command, '1')
    first = contents(CONTROL_RUNS / 'reinit')
    result = lth(*command, '3')
    assert result.code == 0 and 'Controls: the mean over 3 draws counts as one value per seed.' in result.out
    assert 'Control: reinit, draw 3 of 3' in result.err
    assert sorted(path.name for path in CONTROL_RUNS.iterdir()) == ['reinit', 'reinit-2', 'reinit-3']
    assert contents(CONTROL_RUNS / 'reinit') == first
    (row,) = json.loads(lth(*command, '3', '--json').out)['controls']['reinit']
    accuracies = [one['test_accuracy_percent'] for one in row['seeds']]
    assert [one['draw'] for one in row['seeds']] == [1, 2, 3] and len(set(accuracies)) > 1
    assert row['test_accuracy_percent'] == {'mean': pytest.approx(sum(accuracies) / 3), 'margin': None, 'n': 1}
    complete = contents(CONTROL_RUNS)
    shutil.rmtree(CONTROL_RUNS / 'reinit-2/seed-0/round-01')
    assert lth(*command, '3').code == 0 and contents(CONTROL_RUNS) == complete


def test_a_search_without_controls_prints_none(lth):
    lth(*CONTROLLED)
    assert 'reinit' not in lth(*SEARCH).out and json.loads(lth(*SEARCH, '--json').out)['controls'] == {}


def test_a_dry_run_prints_the_controls(lth, tmp_path):
    result = lth(*CONTROLLED, '--dry-run')
    assert 'Then the same rounds are trained as controls: reinit, shuffle-mask, permute-mask.' in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('options', 'message'), [
    (('--controls', 'reinits'), "Unknown control 'reinits', did you mean 'reinit'?"),
    (('--controls', ''), "Unknown control ''"),
    (('--controls', 'dense'), 'controls are compared with dense. Choose among erk, initial-weights, permute-mask'),
    (('--controls', 'shuffle-mask', '--mask-0-action', 'freeze'), 'shuffle-mask cannot be compared with these tickets'),
    (('--controls', 'smart-ratio', '-i', '30'), 'are too few'),
    (('--control-draws', '3'), '--control-draws 3: no controls are given'),
    (('--controls', 'reinit', '-i', '0'), 'round 0 is the only round')])
def test_a_mistake_in_controls_is_an_error_before_training(lth, tmp_path, options, message):
    search = SEARCH[:3] + SEARCH[5:] if '-i' in options else SEARCH
    result = lth(*search, *options)
    assert result.code == 2 and message in ' '.join(result.err.split())
    assert not list(tmp_path.iterdir())


def test_a_control_of_a_search_without_the_round_is_an_error(lth):
    lth(*CONTROLLED)
    shutil.rmtree(CONTROL_RUNS / 'reinit/seed-0')
    recipe = CONTROL_RUNS / 'reinit/recipe.yaml'
    away = Path('elsewhere')
    away.mkdir()
    shutil.copytree('runs/lenet-300-100-digits', away / 'search')
    shutil.rmtree(away / 'search/seed-0/round-02')
    text = recipe.read_text().replace('source: ../../lenet-300-100-digits\n', 'source: ../../elsewhere/search\n')
    Path('mine.yaml').write_text(text)
    result = lth('find-ticket', 'lenet-300-100', 'digits', '--recipe', 'mine.yaml', '--run', 'other')
    assert result.code == 2
    message = ' '.join(result.err.split())
    assert 'elsewhere/search has no round 2 of all seeds [0], from which this run starts' in message


def test_what_a_search_and_its_controls_have_to_say_is_printed_once_and_logged_in_each(lth):
    result = lth('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run', 'a', '--controls',
                 'reinit,shuffle-mask', '--set', 'training.precision=bf16')
    notes = [line for line in result.err.splitlines() if line.startswith(('Note: ', 'Engine: '))]
    assert result.code == 0 and len(notes) == len(set(notes)) >= 1
    logs = [path.read_text() for path in Path('runs').rglob('*.log')]
    assert len(logs) == 3 and all(note in log for note in notes for log in logs)
