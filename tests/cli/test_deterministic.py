"""`--deterministic`: recorded, kept when a run is resumed, and passed on by every command that trains."""
import json
from pathlib import Path

from lth.errors import LthError
from lth.experiments import run_target
from tests.round_files import session_entries

SEARCH = 'find-ticket', 'lenet-300-100', 'digits', '-e', '1', '--run', 'found'


def test_a_run_records_whether_it_is_deterministic_and_is_resumed_so(lth):
    for seed, options in enumerate([('--deterministic',), (), ('--no-deterministic',), ()]):
        assert lth(*SEARCH, '-i', '0', '--seeds', str(seed), *options).code == 0
    assert [session['deterministic'] for session in session_entries('runs/found')] == [True, True, False, False]


def test_every_command_that_trains_has_the_option(lth, monkeypatch):
    for seed in '01':
        lth(*SEARCH, '-i', '1', '--seeds', seed)
    targets = []

    def record(*_arguments, deterministic=None, **_options):
        targets.append(deterministic)
        raise LthError('nothing is trained')
    monkeypatch.setattr(run_target, 'RunTarget', record)
    commands = [SEARCH, ('find-gem', 'lenet-300-100', 'digits', '--sparsity', '5'), ('finetune', 'found'),
                ('transfer', 'found', '--to', 'digits'), ('sanity-check', 'found'), ('stability', 'found')]
    for command in commands:
        for option, value in (('--deterministic', True), ('--no-deterministic', False)):
            assert 'nothing is trained' in lth(*command, option).err
            assert targets.pop() is value
