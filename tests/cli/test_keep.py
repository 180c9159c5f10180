"""Commands with --keep: which weights stay on disk, and what later commands do without the others."""
import shutil
from pathlib import Path

import pytest

import lth as package
from lth.errors import LthError
from tests.cli.test_growing import SEARCH, call, refusal
from tests.round_files import contents

CONTROLS = ('--controls', 'reinit')
REMOVED = {'tickets': {'trained'}, 'last': {'trained', 'ticket'}}


def removed(run: str) -> dict[str, set[str]]:
    """The files that rounds of seed 0 lack, of those that a round has."""

    rounds = sorted(Path('runs', run, 'seed-0').iterdir())
    return {path.name: {'mask', 'ticket', 'trained'} - {file.stem for file in path.glob('*.safetensors')}
            for path in rounds}


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


def test_commands_without_trained_weights_name_the_option_and_write_nothing(lth):
    call(lth, *SEARCH, '-i', '2', '--seeds', '0-1', '--keep', 'tickets')
    call(lth, 'finetune', 'run/seed-0/round-01', '-e', '1')
    evaluated = lth('evaluate', 'run')
    assert evaluated.code == 0
    assert ('the option --keep removed the trained weights of round 1 of seed 0, so their accuracy cannot be measured'
            in ' '.join(evaluated.err.split()))
    left_out = lth('sanity-check', 'run', '--round', '1', '--dry-run')
    assert left_out.code == 0 and 'signs is left out: runs/run: the option --keep' in ' '.join(left_out.err.split())
    before = contents(Path('runs'))
    for command in (
            ('evaluate', 'run/seed-0/round-01'), ('evaluate', 'run', '--on', 'digits', '--rounds', '1'),
            ('transfer', 'run', '--to', 'digits', '--carry', 'signs'), ('pool', 'run'),
            ('export', 'run/seed-0/round-01', '--format', 'torch'), ('show', 'run', 'run/seed-0/round-01', '--signs'),
            ('sanity-check', 'run', '--round', '1', '--checks', 'signs'),
            ('stability', 'run', '--between-rounds'), ('stability', 'run', '--curvature', '--rounds', '1'),
            (*SEARCH, '-i', '2', '--controls', 'signs')):
        message = refusal(lth, *command)
        assert 'the option --keep removed the trained weights of round 1' in message, command
        assert 'repeat the command that trained runs/run with --keep all' in message
    assert contents(Path('runs')) == before


TICKETS = (
    ('finetune', 'run/seed-0/round-01'), ('finetune', 'run', '--round', '1', '--cycles', '2', '--then-prune', '0.3'),
    ('transfer', 'run', '--to', 'digits'), ('transfer', 'run', '--to', 'digits', '--random-tickets'), ('align', 'run'),
    ('pool', 'run'), ('sanity-check', 'run', '--round', '1'), (*SEARCH, '-i', '2', '--controls', 'reinit'),
    # Also rounds after the last one would not be trained.
    (*SEARCH, '-i', '3', '--controls', 'reinit'))


def test_commands_without_tickets_name_the_option_before_they_print_or_write_anything(lth):
    call(lth, *SEARCH, '-i', '2', '--seeds', '0-1', '--keep', 'last')
    before = contents(Path('runs'))
    for command in TICKETS:
        for options in ((), ('--dry-run',)):
            message = refusal(lth, *command, *options)
            assert 'of round 1, from which' in message and 'Rounds 0, 2 still have them.' in message, command
    assert 'tickets of round 1, which are needed' in refusal(lth, 'stability', 'run', '--rounds', '0,1', '--restart')
    with pytest.raises(LthError, match='was removed by the option --keep'):
        package.load_ticket('runs/run/seed-0/round-01')
    with pytest.raises(LthError, match='tickets of round 1, from which'):
        package.align('runs/run', epochs=1)
    assert contents(Path('runs')) == before
    call(lth, 'finetune', 'run', '-e', '1')


def test_what_is_complete_needs_no_weights_but_a_restart_does_and_then_moves_nothing(lth):
    call(lth, *SEARCH, '-i', '2', '--seeds', '0-1', *CONTROLS)
    finetune, pairs = ('finetune', 'run', '--round', '1', '-e', '1'), ('stability', 'run', '--rounds', '1')
    call(lth, *finetune)
    call(lth, *pairs, '--points', '3')
    call(lth, *SEARCH, '-i', '2', '--seeds', '0-1', *CONTROLS, '--keep', 'last')
    before = contents(Path('runs'))
    call(lth, *finetune)
    call(lth, *pairs, '--points', '3')
    refusal(lth, *finetune, '--restart')
    refusal(lth, *pairs, '--points', '3', '--restart')
    refusal(lth, *pairs, '--points', '4')
    with pytest.raises(LthError, match='removed the tickets of round 1'):
        package.finetune('runs/run', round=1, epochs=1, restart=True)
    assert contents(Path('runs')) == before
    # The search itself would train everything again.
    assert lth(*SEARCH, '-i', '2', '--seeds', '0-1', *CONTROLS, '--restart', '--dry-run').code == 0


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
