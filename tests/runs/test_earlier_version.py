"""Run folders that version 0.1.0 wrote are resumed, evaluated and finetuned with the results of that version.

tests/fixtures/version-0.1.0 has searches on digits that lack their last round, and in `expected` what version 0.1.0
trained next.
"""
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from tests.printed_json import printed_json
from tests.round_files import header

FIXTURE = Path(__file__).parent.parent / 'fixtures' / 'version-0.1.0'
FREEZE_EVENTS = ('--sparsity', '20', '-e', '3', '--set', 'algorithm.freeze_every=1 epochs')
TICKET = ('find-ticket', 'net.py:small', 'digits', '-i', '3', '-e', '2', '-l', '0.01', '--run', 'ticket')
SPARSE = (*TICKET[:-1], 'sparse', '--set', 'algorithm.rates=0.4')
GEM = ('find-gem', 'net.py:small', 'digits', *FREEZE_EVENTS, '--run', 'gem')


@pytest.fixture(autouse=True)
def old_runs(lth, tmp_path, monkeypatch):
    """A copy of the fixture in the current folder; the fixture `lth` has created it."""

    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    monkeypatch.delitem(sys.modules, 'net', raising=False)
    return lth


def check_round(folder: str, expected: str) -> None:
    """The round has the expected mask and, up to rounding on another machine, the expected trained weights."""

    mask, trained = (load_file(Path('runs') / folder / f'{name}.safetensors') for name in ('mask', 'trained'))
    expected_mask, expected_trained = (
        load_file(FIXTURE / 'expected' / expected / f'{name}.safetensors') for name in ('mask', 'trained'))
    assert_close(mask, expected_mask, rtol=0, atol=0)
    assert_close(trained, expected_trained, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('command', 'folder', 'engine', 'accuracies'), [
    (TICKET, 'ticket/seed-0/round-03', 'eager', [0.8, 299 / 360, 293 / 360, 269 / 360]),
    (SPARSE, 'sparse/seed-0/round-03', 'sparse', [0.8, 299 / 360, 242 / 360, 137 / 360]),
    (GEM, 'gem/seed-0/round-02', 'eager', [47 / 360, 75 / 360, 92 / 360])])
def test_an_old_run_is_resumed_with_one_more_pruning(lth, command, folder, engine, accuracies):
    table = printed_json(lth, *command)
    found = [row['test_accuracy_percent']['mean'] for row in table['rounds']]
    assert found == pytest.approx([100 * accuracy for accuracy in accuracies], abs=1e-4)
    assert {row['seeds'][0]['engine'] for row in table['rounds']} == {engine}
    check_round(folder, folder.partition('/')[0])
    assert header(Path('runs') / folder / 'trained.safetensors')['engine'] == engine


def test_an_old_run_is_evaluated_with_the_accuracies_that_it_recorded(lth):
    for run, count in (('ticket', 3), ('sparse', 3), ('gem', 2)):
        evaluations = printed_json(lth, 'evaluate', run, '--trust-code')['evaluations']
        assert len(evaluations) == count
        assert all(evaluation['test_accuracy_percent'] == pytest.approx(evaluation['recorded_accuracy_percent'])
                   for evaluation in evaluations)


def test_a_ticket_of_an_old_run_is_finetuned_and_its_engine_is_read_under_its_former_name(lth):
    printed_json(lth, 'finetune', 'ticket/seed-0/round-02', '-e', '2', '--engine', 'plain', '--run', 'finetuned',
                 '--trust-code')
    check_round('finetuned/seed-0/round-00', 'finetuned')


def test_one_note_says_that_an_old_run_has_no_checksums_and_its_new_rounds_have_them(lth):
    result = lth(*TICKET)
    assert result.err.count('Note: runs/ticket has rounds of version 0.1.0, which have no checksums') == 1
    rounds = {path.name: (path / 'SHA256SUMS').exists() for path in Path('runs/ticket/seed-0').iterdir()}
    assert rounds == {'round-00': False, 'round-01': False, 'round-02': False, 'round-03': True}
    assert lth('evaluate', 'ticket', '--trust-code').err.count('no checksums') == 1


@pytest.mark.parametrize('damage', [
    lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9]), lambda path: path.write_text(''),
    lambda path: (path.unlink(), path.mkdir()), lambda path: (path.unlink(), path.symlink_to('/dev/zero'))])
@pytest.mark.parametrize('name', [
    'mask.safetensors', pytest.param('ticket.safetensors', marks=pytest.mark.slow),
    pytest.param('trained.safetensors', marks=pytest.mark.slow), 'metrics.jsonl'])
def test_a_damaged_file_of_an_old_run_is_refused(lth, name, damage):
    damage(Path('runs/ticket/seed-0/round-02') / name)
    result = lth(*TICKET)
    assert result.code == 2 and name in result.err and 'lth repair runs/ticket' in ' '.join(result.err.split())


def test_an_old_run_refuses_another_recipe(lth):
    result = lth(*TICKET[:4], '2', *TICKET[5:])
    assert result.code == 2 and 'Prune 3 times or more (-i 3)' in result.err
    assert not Path('runs/ticket/seed-0/round-03').exists()
