"""Multiply-adds of whole trainings: counted by hand, and planned as they are then recorded."""
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import lth as package
from lth.analysis import training_operations
from lth.analysis.operation_counts import round_operations
from lth.runs.stored_run import StoredRun
from tests.cli.test_transfer import HALF_OF_DIGITS

# digits: images of 8 × 8, 1,437 for training, of which 143 are held out: 21 batches of 60 in an epoch.
LENET = 64 * 300 + 300 * 100 + 100 * 10
STEPS = 21


def planned(lth, *arguments: str) -> dict[str, Any]:
    result = lth(*arguments, '--dry-run', '--json')
    assert result.code == 0, result.err
    printed: dict[str, Any] = json.loads(result.out)
    return printed


def test_a_search_takes_three_passes_of_the_kept_weights_for_each_image_of_each_step(lth):
    command = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2', '--run', 'tickets',
               '--set', 'algorithm.rewind=5 iterations')
    plan = planned(lth, *command)
    assert lth(*command).code == 0
    kept = [LENET, 15_360 + 24_000 + 900, 12_288 + 19_200 + 810]
    expected = [3 * kept[0] * 60 * 42, 3 * kept[1] * 60 * 37, 3 * kept[2] * 60 * 37]
    run = StoredRun.open(Path('runs/tickets'))
    assert [round_operations(run.record(0, number)) for number in range(3)] == [(LENET, count) for count in kept]
    assert training_operations.training_operations(run, 0) == (tuple(expected), 0)
    assert plan['training_multiply_adds'] == sum(expected) and not plan['estimated']
    assert [row['multiply_adds'] for row in plan['rounds']] == kept
    assert plan['multiply_adds'] == sum(layer['multiply_adds'] for layer in plan['layers']) == LENET


@pytest.mark.slow
def test_controls_do_not_count_the_dense_network_which_they_copy(tmp_path):
    run = package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run=tmp_path / 'run', controls=['reinit'])
    search = training_operations.training_operations(run.stored, 0)
    control = training_operations.training_operations(run.controls['reinit'].stored, 0)
    assert search and control and control.rounds == (0, search.rounds[1])


@pytest.mark.parametrize('algorithm, passes', [
    pytest.param('snip', 3 * 2 * 60, marks=pytest.mark.slow), ('grasp', 12 * 2 * 60),
    ('fisher', 3 * 2 * 10), pytest.param('hutchinson', (3 + 6 * 4) * 100, marks=pytest.mark.slow),
    pytest.param('hts', (3 + 6 * 4) * 100, marks=pytest.mark.slow), ('prospr', (9 * 2 + 3) * 60),
    pytest.param('synflow', 3 * 7, marks=pytest.mark.slow), pytest.param('random', 0, marks=pytest.mark.slow)])
def test_pruning_at_initialization_counts_the_passes_of_its_scores(lth, algorithm, passes):
    settings = {
        'snip': 'batches=2', 'grasp': 'batches=2', 'synflow': 'iterations=7', 'random': 'layers=uniform',
        'fisher': 'samples_per_class=2', 'hutchinson': 'draws=4', 'hts': 'draws=4', 'prospr': 'steps=2'}
    command = ('find-gem', 'lenet-300-100', 'digits', '--algorithm', algorithm, '--density', '0.1', '-e', '1', '-b',
               '60', '--set', f'algorithm.{settings[algorithm]}', '--run', 'gem')
    plan = planned(lth, *command)
    assert lth(*command).code == 0
    operations = training_operations.training_operations(StoredRun.open(Path('runs/gem')), 0)
    assert operations == ((0,), passes * LENET) and plan['training_multiply_adds'] == passes * LENET
    assert plan['estimated'] == (algorithm != 'random')
    assert plan['finetuning_multiply_adds'] == 3 * (LENET // 10) * 60 * STEPS


def test_edge_popup_counts_the_gradients_of_all_scores(lth):
    command = ('find-gem', 'lenet-300-100', 'digits', '--algorithm', 'edge-popup', '--density', '0.1', '-e', '2', '-b',
               '60', '--set', 'algorithm.save_every=1 epochs', '--run', 'gem')
    plan = planned(lth, *command)
    assert lth(*command).code == 0
    step = (2 * LENET // 10 + LENET) * 60
    operations = training_operations.training_operations(StoredRun.open(Path('runs/gem')), 0)
    assert operations == ((step * STEPS, step * STEPS), 0)
    assert plan['training_multiply_adds'] == 2 * step * STEPS and not plan['estimated']


def test_gem_miner_counts_the_scores_that_are_active_in_each_round(lth):
    command = ('find-gem', 'lenet-300-100', 'digits', '--density', '0.1', '-e', '2', '-b', '60',
               '--set', 'algorithm.freeze_every=1 epochs', '--run', 'gem')
    plan = planned(lth, *command)
    assert lth(*command).code == 0
    operations = training_operations.training_operations(StoredRun.open(Path('runs/gem')), 0)
    assert operations == ((3 * LENET * 60 * STEPS, 3 * (LENET // 10) * 60 * STEPS), 0)
    # In LeNet each weight is multiplied once, so that the estimate does not depend on the layers.
    assert plan['training_multiply_adds'] == operations.total and plan['estimated']


def test_finetuning_is_counted_from_the_iteration_at_which_the_ticket_starts(lth):
    assert lth('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run', 'tickets',
               '--set', 'algorithm.rewind=5 iterations').code == 0
    command = ('finetune', 'tickets', '-e', '1')
    plan = planned(lth, *command)
    assert lth(*command).code == 0
    operations = training_operations.training_operations(StoredRun.open(Path('runs/tickets-finetuned-round-01')), 0)
    assert operations == ((3 * (15_360 + 24_000 + 900) * 60 * (STEPS - 5),), 0)
    assert plan['training_multiply_adds'] == operations.total
    assert 'finetuning 4.' not in lth('show', 'run', 'tickets').out.split('The training of a seed took')[0]
    shown = json.loads(lth('show', 'run', 'tickets', '--json').out)
    assert shown['finetuned']['training_multiply_adds']['mean'] == operations.total


@pytest.mark.parametrize('command', [
    ('finetune', 'tickets'),
    pytest.param(('transfer', 'tickets', '--to', 'digits', '--rounds', '1'), marks=pytest.mark.slow),
    pytest.param(('transfer', 'tickets', '--to', 'images.py:few', '--rounds', '1'), marks=pytest.mark.slow)])
def test_multiply_adds_of_tickets_of_another_run_are_planned_by_their_masks(lth, command):
    Path('images.py').write_text(HALF_OF_DIGITS)
    short = '--set', 'training.length=4 iterations'
    assert lth('find-ticket', 'conv-2', 'digits', '-i', '1', '--run', 'tickets', '--seeds', '0-1', *short,
               '--set', 'algorithm.scope=global', '--set', 'algorithm.rates=0.5').code == 0
    command = (*command, '--run', 'again', *short)
    plan = planned(lth, *command)
    assert lth(*command).code == 0
    run = StoredRun.open(Path('runs/again'))
    kept = [operations.surviving for seed in (0, 1) if (operations := round_operations(run.record(seed, 0)))]
    assert not plan['estimated'] and kept[0] != kept[1]
    assert plan['rounds'][0]['multiply_adds'] == round(sum(kept) / 2)


def test_rounds_that_recorded_no_layers_have_unknown_operations(lth):
    fixture = Path(__file__).parent.parent / 'fixtures/version-0.1.0'
    name = next(path.parent.name for path in sorted(fixture.glob('runs/*/recipe.yaml')))
    shutil.copytree(fixture / 'runs' / name, f'runs/{name}')
    run = StoredRun.open(Path('runs') / name)
    assert training_operations.training_operations(run, run.seeds()[0]) is None
    result = lth('show', 'run', name)
    assert result.code == 0 and 'Multiply-adds' not in result.out
