"""Commands with --keep: which weights stay on disk, and what later commands do without the others."""
import shutil
from pathlib import Path

import pytest

import lth as package
from lth.errors import LthError
from tests.cli.test_growing import SEARCH, call, contents, refusal

CONTROLS = ('--controls', 'reinit')
REMOVED = {'tickets': {'trained'}, 'last': {'trained', 'ticket'}}


def removed(run: str) -> dict[str, set[str]]:
    """The files that rounds of seed 0 lack, of those that a round has."""

    rounds = sorted(Path('runs', run, 'seed-0').iterdir())
    return {path.name: {'mask', 'ticket', 'trained'} - {file.stem for file in path.glob('*.safetensors')}
            for path in rounds}


def every_file() -> list[Path]:
    return sorted(path for path in Path('runs').rglob('*') if path.is_file())


@pytest.mark.parametrize('keep', [pytest.param('tickets', marks=pytest.mark.slow), 'last'])
def test_a_thinned_run_that_gets_more_rounds_equals_one_made_at_once(lth, keep):
    call(lth, *SEARCH, *CONTROLS, '-i', '3', '--keep', keep)
    at_once = contents(Path('runs'))
    for run in ('run', 'run-controls/reinit'):
        assert removed(run) == {
            'round-00': set(), 'round-01': REMOVED[keep], 'round-02': REMOVED[keep], 'round-03': set()}
    shutil.rmtree('runs')
    call(lth, *SEARCH, *CONTROLS, '-i', '2', '--keep', keep)
    assert set(removed('run')) == {'round-00', 'round-01', 'round-02'} and not removed('run')['round-02']
    call(lth, *SEARCH, *CONTROLS, '-i', '3', '--keep', keep)
    assert contents(Path('runs')) == at_once


def test_a_thinned_run_is_complete_and_shows_the_same_table(lth):
    complete = lth(*SEARCH, '-i', '2', *CONTROLS).out
    assert not any(removed('run').values())
    assert lth(*SEARCH, '-i', '2', *CONTROLS, '--keep', 'last').out == complete
    before = contents(Path('runs'))
    assert lth(*SEARCH, '-i', '2', *CONTROLS, '--keep', 'last').out == complete
    assert lth(*SEARCH, '-i', '2', *CONTROLS).out == complete
    assert contents(Path('runs')) == before


def test_nothing_is_removed_before_the_controls_are_complete(lth, monkeypatch):
    def fail(*_arguments, **_keywords):
        raise LthError('no control')
    monkeypatch.setattr(package.algorithms.retraining.controls, 'train_tickets', fail)
    assert 'no control' in lth(*SEARCH, '-i', '2', *CONTROLS, '--keep', 'last').err
    assert len(removed('run')) == 3 and not any(removed('run').values())


def test_commands_without_the_files_that_they_need_name_the_option(lth):
    call(lth, *SEARCH, '-i', '2', '--keep', 'tickets')
    option = 'was removed by the option --keep'
    assert option in refusal(lth, 'evaluate', 'run/seed-0/round-01')
    evaluated = lth('evaluate', 'run')
    assert evaluated.code == 0
    assert ('seed 0: round 1 cannot be measured, since the option --keep removed the trained weights'
            in ' '.join(evaluated.err.split()))
    call(lth, 'finetune', 'run/seed-0/round-01', '-e', '1')
    before = every_file()
    assert option in refusal(lth, 'transfer', 'run', '--to', 'digits', '-e', '1', '--carry', 'signs')
    assert every_file() == before
    call(lth, *SEARCH, '-i', '2', '--keep', 'last')
    call(lth, 'finetune', 'run/seed-0/round-01', '-e', '1')  # is complete already
    before = every_file()
    for command in (('finetune', 'run/seed-0/round-01', '-e', '2', '--run', 'again'),
                    ('sanity-check', 'run/seed-0/round-01', '--checks', 'reinit'),
                    ('transfer', 'run', '--to', 'digits', '-e', '1'), ('evaluate', 'run/seed-0/round-01'),
                    (*SEARCH, '-i', '2', *CONTROLS)):
        assert option in refusal(lth, *command)
    # Also rounds before those that are not there are not trained.
    assert every_file() == before
    with pytest.raises(LthError, match=option):
        package.load_ticket('runs/run/seed-0/round-01')
    call(lth, 'finetune', 'run', '-e', '1')


@pytest.mark.slow
def test_a_gem_keeps_its_first_and_last_round(lth):
    gem = ('find-gem', 'lenet-300-100', 'digits', '--density', '0.3', '--run', 'gem', '-e', '3', '--set',
           'algorithm.freeze_every=1 epochs')
    call(lth, *gem, '--finetune', '--keep', 'last')
    assert removed('gem') == {'round-00': set(), 'round-01': {'ticket', 'trained'}, 'round-02': set()}
    assert not list(Path('runs/gem/seed-0/round-01').glob('scores*'))
    call(lth, *gem, '--finetune')
    assert lth('evaluate', 'gem').code == 0


def test_the_python_api_thins_a_run(lth):
    run = package.find_ticket('lenet-300-100', 'digits', rounds=2, epochs=1, run='runs/run', threads=1, keep='tickets')
    assert removed('run')['round-01'] == {'trained'} and len(run.table()) == 3
    assert lth('evaluate', 'run').code == 0
