"""More rounds for a run that is complete: `-i 1`, later `-i 2`."""
import shutil
from pathlib import Path

import pytest

from lth.system import yaml_text
from tests.round_files import contents

SHORT = ('--set', 'training.length=3 iterations', '--set', 'training.measure_every=2 iterations')
SEARCH = ('find-ticket', 'lenet-300-100', 'digits', *SHORT, '--run', 'runs/run')
LADDERS = {
    'iterative': (), 'one-shot': ('--set', 'algorithm.shots=one-shot'),
    'random criterion': ('--criterion', 'random', '--mask-1-action', 'reinitialize', '--set',
                         'algorithm.rewind=1 iterations'),
    'fine-tuning': ('--retrain', 'fine-tuning'), 'learning-rate-rewinding': ('--retrain', 'learning-rate-rewinding')}


def call(lth, *arguments: str) -> str:
    result = lth(*arguments)
    assert result.code == 0, result.err
    return result.err


def refusal(lth, *arguments: str) -> str:
    result = lth(*arguments)
    assert result.code == 2 and not result.out
    return ' '.join(result.err.split())


@pytest.mark.parametrize('ladder', [
    pytest.param(ladder, id=name, marks=[pytest.mark.slow] if '--retrain' in ladder else [])
    for name, ladder in LADDERS.items()])
def test_a_run_that_gets_more_rounds_equals_one_made_at_once_byte_for_byte(lth, ladder):
    call(lth, *SEARCH, *ladder, '-i', '2')
    at_once = contents(Path('runs'))
    shutil.rmtree('runs')
    call(lth, *SEARCH, *ladder, '-i', '1')
    assert 'runs/run has the rounds 0 to 1. Rounds up to 2 are added.' in call(lth, *SEARCH, *ladder, '-i', '2')
    assert contents(Path('runs')) == at_once
    assert yaml_text.read_yaml(Path('runs/run/recipe.yaml'))['algorithm']['rounds'] == 2


@pytest.mark.slow
@pytest.mark.parametrize('seeds', ['0', '0-1'])
def test_controls_and_all_their_draws_grow_with_the_search(lth, seeds):
    controls = ('--controls', 'reinit', '--control-draws', '2', '--seeds', seeds)
    call(lth, *SEARCH, *controls, '-i', '2')
    at_once = contents(Path('runs'))
    shutil.rmtree('runs')
    call(lth, *SEARCH, *controls, '-i', '1')
    call(lth, *SEARCH, '-i', '2', '--seeds', seeds[-1])  # with two seeds, the first one waits for the last call
    call(lth, *SEARCH, *controls, '-i', '2')
    assert contents(Path('runs')) == at_once
    assert len(yaml_text.read_yaml(Path('runs/run-controls/reinit-2/recipe.yaml'))['algorithm']['kept']) == 3


def test_a_run_that_is_asked_for_fewer_rounds_than_it_has_stays_as_it_is(lth):
    call(lth, *SEARCH, '-i', '1')
    before = contents(Path('runs'))
    assert ('runs/run has the rounds 0 to 1, and this command asks for the rounds 0 to 0, which are among them. Prune '
            '1 times or more (-i 1)') in refusal(lth, *SEARCH, '-i', '0')
    assert 'training.batch_size: 60 / 30' in refusal(lth, *SEARCH, '-i', '2', '-b', '30')
    assert contents(Path('runs')) == before


def test_runs_whose_rounds_depend_on_their_number_are_not_extended(lth):
    strategy = (*SEARCH, '--retrain', 'strategy-2')
    call(lth, *strategy, '-i', '1')
    assert ('runs/run has the rounds 0 to 1, and this command asks for the rounds 0 to 2. The number of its rounds '
            'cannot change, as only its last round rewinds (strategy-2).') in refusal(lth, *strategy, '-i', '2')
    gem = ('find-gem', 'lenet-300-100', 'digits', '--density', '0.5', '--run', 'gem', '--set',
           'algorithm.freeze_every=1 epochs', '-e')
    call(lth, *gem, '2')
    assert 'A search for a gem cannot be extended, as its length decides all of its rounds.' in refusal(lth, *gem, '3')
