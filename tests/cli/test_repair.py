"""`lth repair`: what is found and moved, and that the search then computes it again byte for byte."""
import json
import shutil
from pathlib import Path

import pytest

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.runs import integrity, run_locks
from tests.printed_json import printed_json
from tests.round_files import contents

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-b', '200', '-e', '1', '--run', 'r')
RUN = Path('runs/r')


@pytest.fixture(scope='module')
def original(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('original') / 'runs'


@pytest.fixture
def search(lth, original, tmp_path):
    """Runs the search of two seeds; the first test trains it, the others copy the run."""

    if original.exists():
        shutil.copytree(original, tmp_path / 'runs')
    else:
        for seed in '01':
            assert lth(*SEARCH, '--seeds', seed).code == 0
        shutil.copytree(tmp_path / 'runs', original)
    return lambda: lth(*SEARCH, '--seeds', '0,1')


def rounds(run: Path = RUN) -> dict[str, bytes]:
    return contents(run, without=('sessions', 'damaged'))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def repair(lth, *options: str) -> dict:
    return printed_json(lth, 'repair', 'r', *options)


def test_a_run_without_damage_is_not_changed(lth, search, original):
    assert 'nothing is damaged. Checked: 6 rounds of 2 seeds and 2 sessions' in lth('repair', 'r').out
    assert rounds() == rounds(original / 'r') and not (RUN / 'damaged').exists()


@pytest.mark.parametrize('name', [
    'mask.safetensors', 'trained.safetensors', 'metrics.jsonl', 'round.json', 'SHA256SUMS'])
def test_a_damaged_round_and_later_ones_are_moved_and_trained_again_with_equal_bytes(lth, search, original, name):
    flip(RUN / 'seed-0/round-01' / name)
    damaged = rounds()
    result = lth('evaluate', 'r')
    assert result.code == 2 and 'lth repair runs/r' in ' '.join(result.err.split())
    listed = repair(lth, '--dry-run')
    assert [one['path'] for one in listed['damaged']] == ['runs/r/seed-0/round-01', 'runs/r/seed-0/round-02']
    assert listed['moved_to'] is None and rounds() == damaged
    report = repair(lth)
    moved = Path(report['moved_to'])
    assert moved.is_relative_to(RUN / 'damaged') and report['damaged'] == listed['damaged']
    assert (moved / 'seed-0/round-01' / name).read_bytes() == damaged[f'seed-0/round-01/{name}']
    assert sorted(path.name for path in (RUN / 'seed-0').iterdir()) == ['round-00']
    assert search().code == 0
    assert rounds() == rounds(original / 'r')


def test_every_kind_of_damage_is_found_and_an_incomplete_file_too(lth, search):
    (RUN / 'seed-0/round-00/mask.safetensors').unlink()
    shutil.rmtree(RUN / 'seed-1/round-01')
    (RUN / 'seed-1/round-00.partial').mkdir()
    session = next((RUN / 'sessions').glob('*.json'))
    session.write_text(session.read_text().replace('"rounds": 3', '"rounds": 4'))
    stability, checks = Path('runs/r-stability/x.json'), Path('runs/r-checks/checks.json')
    for path in (stability, checks):
        path.parent.mkdir()
        path.write_text('{}')
    report = repair(lth)
    problems = {one['path'].removeprefix('runs/'): one['problem'] for one in report['damaged']}
    assert 'mask.safetensors is missing' in problems.pop('r/seed-0/round-00')
    assert 'its checksum is not that of its content' in problems.pop(f'r/sessions/{session.name}')
    assert {problems.pop(path).split(' is damaged')[0] for path in ('r-stability/x.json', 'r-checks/checks.json')} == {
        'runs/r-stability/x.json', 'runs/r-checks/checks.json'}
    assert problems == {
        'r/seed-0/round-01': 'it depends on round 0', 'r/seed-0/round-02': 'it depends on round 0',
        'r/seed-1/round-02': 'round 1 before it is missing',
        'r/seed-1/round-00.partial': 'it is incomplete, as a killed session leaves it'}
    moved = Path(report['moved_to'])
    assert (moved / 'r-checks/checks.json').exists() and not checks.exists() and not session.exists()
    assert 'nothing is damaged' in lth('repair', 'r').out


def test_a_changed_recipe_is_not_blamed_on_the_rounds(lth, search, original):
    recipe = RUN / 'recipe.yaml'
    recipe.write_text(recipe.read_text().replace('batch_size: 200', 'batch_size: 100'))
    result = lth('repair', 'r')
    assert result.code == 2 and 'recipe.yaml was changed after the rounds were trained' in result.err
    assert not (RUN / 'damaged').exists()
    recipe.write_text('{')
    assert 'recipe.yaml' in lth('repair', 'r').err and not (RUN / 'damaged').exists()


def test_unreadable_files_and_seeds_in_training_are_left_alone(lth, search, monkeypatch):
    with run_locks.hold_seeds(RUN, [1]):
        result = lth('repair', 'r')
        assert result.code == ENVIRONMENT_ERROR and 'is being written by' in ' '.join(result.err.split())

    def refuse(path, **_options):
        raise LthError(f'Cannot read {path}: Permission denied.', exit_code=ENVIRONMENT_ERROR)
    monkeypatch.setattr(integrity, 'read_bytes', refuse)
    result = lth('repair', 'r')
    assert result.code == ENVIRONMENT_ERROR and 'Permission denied' in result.err and not (RUN / 'damaged').exists()


def test_a_run_whose_code_is_not_trusted_is_checked_without_its_network(lth, tmp_path):
    (tmp_path / 'net.py').write_text(
        'from torch import nn\ndef net(shape, classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n')
    assert lth('find-ticket', 'net.py:net', *SEARCH[2:]).code == 0
    result = lth('repair', 'r')
    assert result.code == 0 and 'nothing is damaged' in result.out
    assert 'not with the network' in result.err and '--trust-code' in ' '.join(result.err.split())
    assert lth('repair', 'r', '--trust-code').err == ''
    flip(RUN / 'seed-0/round-02/trained.safetensors')
    assert [one['path'] for one in repair(lth)['damaged']] == ['runs/r/seed-0/round-02']


@pytest.mark.parametrize('keep', ['tickets', pytest.param('last', marks=pytest.mark.slow)])
def test_rounds_whose_weights_a_damaged_one_needs_and_keep_removed_are_moved_and_trained_again(lth, search, keep):
    search = (*SEARCH[:3], '-i', '3', *SEARCH[5:], '--seeds', '0', '--keep', keep)
    assert lth(*search).code == 0
    before = rounds()
    flip(RUN / 'seed-0/round-03/mask.safetensors')
    report = repair(lth)
    assert [Path(damage['path']).name for damage in report['damaged']] == ['round-01', 'round-02', 'round-03']
    assert 'the option --keep removed its weights' in report['damaged'][0]['problem']
    assert lth(*search).code == 0
    assert rounds() == before


def test_thinned_rounds_of_a_run_that_starts_from_another_one_stay(lth, search):
    control = Path('runs/r-controls/reinit')
    assert lth(*SEARCH, '--seeds', '0', '--controls', 'reinit', '--keep', 'tickets').code == 0
    before = {path.name: path.read_bytes() for path in (control / 'seed-0/round-02').iterdir()}
    flip(control / 'seed-0/round-02/mask.safetensors')
    report = json.loads(lth('repair', str(control), '--json').out)
    assert [Path(damage['path']).name for damage in report['damaged']] == ['round-02']
    assert lth(*SEARCH, '--seeds', '0', '--controls', 'reinit', '--keep', 'tickets').code == 0
    assert {path.name: path.read_bytes() for path in (control / 'seed-0/round-02').iterdir()} == before


def test_one_seed_and_one_session_are_counted_in_the_singular(lth):
    lth('find-ticket', 'lenet-300-100', 'digits', '-i', '0', '-e', '1', '--run', 'one')
    assert 'one: nothing is damaged. Checked: 1 round of 1 seed and 1 session.' in lth('repair', 'one').out
