"""Runs that start from the tickets of a source run, which is then replaced by another one."""
import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from lth import open_run
from lth.errors import LthWarning

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run', 'source')
DERIVED = {
    'source-finetuned-round-01': ('finetune', 'source', '-e', '2'),
    'source-to-digits-round-01': ('transfer', 'source', '--to', 'digits', '-e', '1'),
    'source-controls/reinit': (*SEARCH, '--controls', 'reinit')}


def replace_source(lth) -> None:
    """Search the source run again by another criterion: the same number of weights, but other ones."""

    shutil.rmtree('runs/source')
    assert lth(*SEARCH, '--criterion', 'movement').code == 0


@pytest.mark.parametrize(('folder', 'command'), DERIVED.items())
def test_a_source_run_replaced_by_another_with_the_same_counts_is_an_error(lth, folder, command):
    assert lth(*SEARCH).code == 0 and lth(*command).code == 0
    before = {path: path.read_bytes() for path in Path('runs', folder).rglob('*') if path.is_file()}
    assert lth(*command).code == 0
    replace_source(lth)
    result = lth(*command, *(('--criterion', 'movement') if command[0] == 'find-ticket' else ()))
    message = ' '.join(result.err.split())
    assert result.code == 2
    assert (f'runs/{folder} was trained from another ticket than the one that is now round 1 of seed 0 in runs/source'
            in message)
    assert {path: path.read_bytes() for path in Path('runs', folder).rglob('*') if path.is_file()} == before


def test_runs_that_start_from_a_replaced_run_are_not_shown_with_it(lth):
    assert lth(*DERIVED['source-controls/reinit']).code == 0 and lth(*DERIVED['source-finetuned-round-01']).code == 0
    controls = open_run('source').controls
    assert list(controls) == ['reinit'] and 'before and after finetuning' in lth('evaluate', 'source').out
    replace_source(lth)
    evaluated = lth('evaluate', 'source')
    assert evaluated.code == 0 and 'finetuning' not in evaluated.out
    assert 'source-finetuned-round-01 cannot be evaluated: ' in evaluated.err and 'was replaced' in evaluated.err
    with pytest.warns(LthWarning, match='reinit is left out: .* was trained from another ticket'):
        assert open_run('source').controls == {}


def test_a_source_run_that_was_trained_again_with_the_same_result_is_accepted(lth):
    command = DERIVED['source-to-digits-round-01']
    assert lth(*SEARCH).code == 0 and lth(*command).code == 0
    shutil.rmtree('runs/source')
    shutil.rmtree('runs/source-to-digits-round-01/seed-0/round-01')
    assert lth(*SEARCH).code == 0 and lth(*command).code == 0


def test_every_round_records_the_fingerprint_of_its_source_ticket(lth):
    assert lth(*SEARCH).code == 0 and lth(*DERIVED['source-to-digits-round-01']).code == 0

    def source(path: str) -> str | None:
        with safe_open(path, 'pt') as file:
            recorded: str | None = json.loads(file.metadata()['lth']).get('source')
            return recorded
    recorded = [source(f'runs/source-to-digits-round-01/seed-0/round-0{number}/mask.safetensors') for number in (0, 1)]
    assert all(recorded) and recorded[0] != recorded[1]
    assert source('runs/source/seed-0/round-01/mask.safetensors') is None
