"""`lth list runs` and `lth show run`."""
import errno
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lth.analysis.json_output import run_lists, runs
from lth.runs.checked_json import encode_checked
from lth.runs.run_locks import hold_seeds
from lth.runs.stored_run import StoredRun
from tests.cli.test_json_output import output

QUICK = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run')
SEARCH = (*QUICK, 'a')
CONTROLLED = (*SEARCH, '--controls', 'reinit')


def listed(lth, *arguments: str) -> dict[str, dict]:
    printed = output(lth, run_lists.RunListing, 'list', 'runs', *arguments)
    return {entry['run']: entry for entry in printed['entries']}


@pytest.fixture(name='searched')
def _searched(lth, tmp_path_factory):
    """A search with a control, and a finetuned run of it, which the first test trains and the others copy."""

    trained = tmp_path_factory.getbasetemp() / 'listed-runs'
    if not trained.exists():
        lth(*CONTROLLED)
        lth('finetune', 'a', '-e', '1')
        shutil.copytree('runs', trained)
    shutil.copytree(trained, 'runs', dirs_exist_ok=True)
    return lth


def test_runs_are_listed_below_the_runs_from_which_they_start(searched):
    entries = listed(searched)
    assert {run: entry['source'] for run, entry in entries.items()} == {
        'runs/a': None, 'runs/a-controls/reinit': 'runs/a', 'runs/a-finetuned-round-01': 'runs/a'}
    entry = entries['runs/a']
    assert (entry['model'], entry['dataset'], entry['algorithm']) == ('lenet-300-100', 'digits', 'magnitude')
    assert (entry['seeds'], entry['completed_rounds'], entry['planned_rounds']) == ([0], [2], 2)
    found = json.loads(searched(*SEARCH, '--json').out)['rounds'][-1]
    assert entry['test_accuracy_percent'] == found['test_accuracy_percent']['mean'] and entry['state'] == 'complete'
    lines = [line for line in searched('list', 'runs').out.splitlines() if 'runs/a' in line]
    assert [line[:line.index('runs')] for line in lines] == [' ', '   ', '   ']
    assert '2/2' in lines[0] and 'complete' in lines[0]


def test_a_run_in_training_an_unfinished_one_and_a_damaged_one_are_listed_with_their_state(searched):
    shutil.copytree('runs/a', 'runs/b')
    shutil.copytree('runs/a', 'runs/c')
    shutil.rmtree('runs/b/seed-0/round-01')
    record = Path('runs/c/seed-0/round-01/round.json')
    record.write_bytes(record.read_bytes().replace(b'"seed": 0', b'"seed": 7'))
    Path('runs/d').mkdir()
    Path('runs/d/recipe.yaml').write_text('a: [')
    with hold_seeds(Path('runs/a'), [0]):
        entries = listed(searched)
    assert {run: entries[f'runs/{run}']['state'] for run in 'abcd'} == {
        'a': 'in training', 'b': 'unfinished', 'c': 'damaged', 'd': 'damaged'}
    assert 'process' in entries['runs/a']['detail'] and entries['runs/a']['test_accuracy_percent'] > 0
    assert 'round.json is damaged' in entries['runs/c']['detail'] and 'recipe.yaml' in entries['runs/d']['detail']
    assert entries['runs/a-controls/reinit']['state'] == 'complete'
    shown = searched('show', 'run', 'b').out
    assert 'Seed 0 has 1 of 2 rounds.' in shown
    assert searched('show', 'run', 'c').code == 2


def test_a_shown_run_equals_the_output_of_the_command_that_made_it(searched):
    made = searched(*CONTROLLED)
    shown = searched('show', 'run', 'a')
    assert shown.code == 0 and set(made.out.splitlines()) <= set(shown.out.splitlines())
    assert 'Results that start from this run: runs/a-finetuned-round-01' in shown.out
    expected = output(searched, runs.RunReport, *CONTROLLED)
    found = output(searched, runs.RunReport, 'show', 'run', 'runs/a')
    assert found.pop('finetuned')['run'] == 'runs/a-finetuned-round-01' and expected.pop('finetuned') is None
    assert found.pop('answers')[:1] == expected.pop('answers')
    assert found == expected


def test_a_run_of_code_that_is_gone_is_shown_without_importing_it(lth):
    Path('net.py').write_text('import torch\n\n\ndef net(shape, classes):\n'
                              '    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 20), '
                              'torch.nn.ReLU(), torch.nn.Linear(20, classes))\n')
    assert lth('find-ticket', 'net.py:net', 'digits', '-i', '1', '-e', '1', '--run', 'own').code == 0
    Path('net.py').write_text('raise SystemExit(1)\n')
    result = lth('show', 'run', 'own')
    assert result.code == 0 and 'net.py:net on digits' in result.out
    assert listed(lth)['runs/own']['state'] == 'complete'


def test_runs_of_replaced_tickets_are_left_out_with_a_sentence(searched):
    shutil.rmtree('runs/a')
    searched(*SEARCH, '-l', '0.01')
    result = searched('show', 'run', 'a')
    assert result.code == 0 and 'reinit' not in result.out and 'finetuned' not in result.out
    for name in ('a-controls/reinit', 'a-finetuned-round-01'):
        assert f'runs/{name} is left out: it was trained from other tickets' in result.err
    report = json.loads(searched('show', 'run', 'a', '--json').out)
    assert (report['controls'], report['finetuned']) == ({}, None)
    entries = listed(searched)
    assert entries['runs/a-finetuned-round-01']['source'] is None
    assert 'trained from other tickets than those' in entries['runs/a-finetuned-round-01']['detail']
    assert 'was trained from other tickets' in searched('show', 'run', 'a-finetuned-round-01').err


def test_an_unfinished_run_is_shown_with_the_command_that_resumes_it(lth, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['/usr/bin/lth', *QUICK, 'my run'])
    lth(*QUICK, 'my run')
    shutil.rmtree('runs/my run/seed-0/round-01')
    shown = lth('show', 'run', 'my run').out
    assert 'Seed 0 has 1 of 2 rounds.' in shown
    assert "To resume, run: lth find-ticket lenet-300-100 digits -i 1 -e 1 --run 'my run'" in shown
    entry = listed(lth)['runs/my run']
    assert (entry['state'], entry['completed_rounds'], entry['planned_rounds']) == ('unfinished', [1], 2)


def test_a_run_of_several_ranks_is_resumed_with_torchrun(lth, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['/usr/bin/lth', *QUICK, 'ranks'])
    lth(*QUICK, 'ranks')
    shutil.rmtree('runs/ranks/seed-0/round-01')
    session = next(Path('runs/ranks/sessions').glob('*.json'))
    entry = json.loads(session.read_text())
    del entry['checksum']
    session.write_bytes(encode_checked(entry | {'ranks': 2}))
    assert 'To resume, run: torchrun --nproc-per-node 2 -m -- lth find-ticket' in lth('show', 'run', 'ranks').out


def test_a_seed_without_a_completed_round_leaves_a_run_unfinished(searched):
    session = next(Path('runs/a/sessions').glob('*.json'))
    entry = json.loads(session.read_text())
    del entry['checksum']
    session.write_bytes(encode_checked(entry | {'seeds': [0, 3]}))
    found = listed(searched)['runs/a']
    assert (found['state'], found['seeds'], found['completed_rounds']) == ('unfinished', [0, 3], [2, 0])


def test_listing_runs_does_not_import_torch(searched):
    assert listed(searched)
    code = ('import sys; from lth.cli import app\n'
            'try: app(["list", "runs"])\n'
            'finally: print("torch" in sys.modules, file=sys.stderr)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.stdout and done.stderr.splitlines()[-1] == 'False', done.stderr


@pytest.mark.slow
def test_a_hundred_runs_are_listed_in_less_than_a_second(searched):
    for number in range(98):
        shutil.copytree('runs/a', f'runs/run-{number:03d}')
    start = time.process_time()
    assert len(listed(searched)) == 101
    assert time.process_time() - start < 2, 'about 0.5 s on an idle core'


@pytest.mark.parametrize(('arguments', 'message'), [
    (['list', 'runs', 'nothing'], 'nothing is not a folder'),
    (['list', 'models', 'runs'], "'runs': only `lth list runs` takes a folder"),
    (['list', 'modles'], "Unknown KIND 'modles', did you mean 'models'?"),
    (['show', 'run', 'nothing'], "'nothing' is not a run")])
def test_what_cannot_be_listed_or_shown_is_an_error(lth, arguments, message):
    result = lth(*arguments)
    assert result.code == 2 and message in ' '.join(result.err.split())


def test_a_run_with_a_folder_that_may_not_be_read_is_listed_as_damaged_next_to_the_others(lth, monkeypatch):
    assert lth(*QUICK, 'a').code == lth(*QUICK, 'b').code == 0
    count = StoredRun.round_count

    def refuse(run: StoredRun, seed: int) -> int:
        if run.folder.name == 'b':
            raise PermissionError(errno.EACCES, 'Permission denied', f'{run.folder}/seed-0/round-00')
        return count(run, seed)
    monkeypatch.setattr(StoredRun, 'round_count', refuse)
    entries = listed(lth, 'runs')
    assert [entries[f'runs/{name}']['state'] for name in 'ab'] == ['complete', 'damaged']
    assert 'runs/b: damaged, runs/b/seed-0/round-00: Permission denied' in lth('list', 'runs', 'runs').out
