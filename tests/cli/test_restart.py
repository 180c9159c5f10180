"""Commands with --restart."""
from pathlib import Path

import lth as package
from lth.algorithms import imp
from lth.errors import LthError
from tests.cli.test_growing import SEARCH as RUN
from tests.cli.test_growing import call, refusal
from tests.round_files import contents

SEARCH = (*RUN, '-i', '1')


def test_restart_moves_the_old_run_aside_and_errors_mention_it(lth):
    call(lth, *SEARCH, '--controls', 'reinit')
    call(lth, 'finetune', 'run')
    before = contents(Path('runs'))
    assert 'start over with --restart, which moves that run aside' in refusal(lth, *SEARCH, '-b', '30')
    assert lth(*SEARCH, '-b', '30', '--restart', '--dry-run').code == 0 and contents(Path('runs')) == before
    message = call(lth, *SEARCH, '-b', '30', '--restart')
    (old,) = Path('runs').glob('run-set-aside-*')
    assert f'Moved to {old}: run, run-controls, run-finetuned-round-01.' in message
    assert {path.name for path in Path('runs').iterdir()} == {'run', old.name} and contents(old) == before
    assert lth('evaluate', f'{old}/run').out.count('before and after finetuning') == 1
    call(lth, *SEARCH, '-b', '30')


def test_a_search_that_fails_after_its_first_round_says_that_the_round_stays_and_how_to_start_over(lth, monkeypatch):
    def fail(*_arguments):
        raise LthError('criterion: no scores.')
    monkeypatch.setattr(imp, 'prune_mask', fail)
    assert refusal(lth, *SEARCH).endswith(
        'Error: criterion: no scores. The completed rounds stay in runs/run. To start over with other settings, add '
        '--restart, which moves them aside.')
    monkeypatch.setattr(imp, '_dense_round', fail)
    assert refusal(lth, *SEARCH, '-b', '30', '--restart').endswith('Error: criterion: no scores.')
    assert not Path('runs/run').exists()


def test_the_python_api_starts_over(lth):
    def search(**settings) -> None:
        package.find_ticket('lenet-300-100', 'digits', rounds=0, epochs=1, run='runs/a', settings=settings, threads=1,
                            **({'restart': True} if settings else {}))
    search()
    search(**{'training.batch_size': 30})
    assert len(list(Path('runs').glob('a-set-aside-*/a'))) == 1
    assert lth('evaluate', 'a').code == 0
