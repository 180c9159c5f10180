"""Runs that are interrupted within rounds and resumed from checkpoints write the same bytes as uninterrupted ones."""
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lth.analysis.repair import repair
from lth.errors import LthError
from lth.experiments import runner
from lth.experiments.changes import Changes
from lth.experiments.derived_plans import control_plans, finetune_plan
from lth.experiments.gem_plans import gem_plan
from lth.experiments.open_run import open_source, open_source_rounds
from lth.experiments.plan import Plan
from lth.experiments.reporter import SeedProgress, SilentReporter
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget
from lth.experiments.transfer_plans import transfer_plan
from lth.runs import integrity
from lth.runs.checkpoints import RunCheckpoints
from lth.runs.run_path import parse_run_path
from lth.system import signals, tensor_files, yaml_text
from lth.training.checkpoint_interval import CheckpointInterval, checkpoint_interval
from lth.training.state import Snapshot
from tests.experiments.test_runner import children, is_running, run_search, start_search, wait_until
from tests.round_files import contents

# 21 iterations an epoch.
SHORT = {'training.length': '24 iterations', 'training.measure_every': '10 iterations'}


class Notes(SilentReporter):
    """Keeps all messages and reports."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.reports: list[SeedProgress] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, progress: SeedProgress) -> None:
        self.reports.append(progress)


def tickets(**settings: Any) -> Plan:
    options = {'algorithm.rounds': 2, **SHORT, **settings}
    return ticket_plan('lenet-300-100', 'digits', Changes(options=options))


def gems(algorithm: str, **settings: Any) -> Plan:
    options = {**SHORT, **settings}
    return gem_plan('lenet-300-100', 'digits', Changes(options=options), density=0.2, algorithm=algorithm)


def target(folder: Path, every: str = '3 iterations') -> RunTarget:
    return RunTarget(folder, folder, 'cpu', checkpoint_every=checkpoint_interval(every))


def run_in_pieces(
        plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch, *, stops: int, seeds: tuple[int, ...] = (0,),
        every: str = '3 iterations') -> int:
    """Run a plan with a signal after each `stops` snapshots of a training; return the number of interruptions."""

    keep, kept = RunCheckpoints.keep, 0

    def keep_and_interrupt(self: RunCheckpoints, snapshot: Snapshot) -> None:
        nonlocal kept
        kept += 1
        if kept == stops:
            signal.raise_signal(signal.SIGINT)
        keep(self, snapshot)

    with monkeypatch.context() as patch:
        patch.setattr(RunCheckpoints, 'keep', keep_and_interrupt)
        for interruptions in range(100):
            kept = 0
            try:
                runner.run_plan(plan, replace(target(folder, every), in_process=True), seeds, SilentReporter())
                return interruptions
            except signals.Interrupted:
                assert list(folder.glob('seed-*/checkpoint/round-*-step-*/state.safetensors'))
    raise AssertionError('the run makes no progress')


def compare(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stops: int = 6, **options: Any) -> None:
    complete, pieces = tmp_path / 'complete', tmp_path / 'pieces'
    tmp_path.mkdir(exist_ok=True)
    seeds = options.get('seeds', (0,))
    runner.run_plan(plan, replace(target(complete, 'off'), in_process=True), seeds, SilentReporter())
    assert run_in_pieces(plan, pieces, monkeypatch, stops=stops, **options) >= 2
    assert contents(pieces) == contents(complete)
    assert not list(pieces.glob('seed-*/checkpoint'))


@pytest.mark.parametrize('settings', [{'algorithm.rewind': '7 iterations'}, *[
    pytest.param(settings, marks=pytest.mark.slow) for settings in (
        {'algorithm.retrain': 'strategy-2', 'data.flip': True}, {'algorithm.shots': 'one-shot'},
        {'algorithm.retrain': 'fine-tuning',
         'training.optimizer': {'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9}})]], ids=str)
def test_a_search_for_tickets_in_pieces_writes_the_bytes_of_an_uninterrupted_one(tmp_path, monkeypatch, settings):
    compare(tickets(**settings), tmp_path, monkeypatch)


@pytest.mark.parametrize('settings', [
    {'training.cycles': 2, 'training.length': '12 iterations'}, {'algorithm.copies': 3, 'algorithm.soup': 'greedy'},
    {'algorithm.copies': 2, 'algorithm.early_bird': 'levels', 'algorithm.rewind': '7 iterations',
     'training.measure_every': '4 iterations'},
    {'algorithm.early_bird': (0.5, 0.05), 'training.measure_every': '4 iterations'}], ids=str)
def test_cycles_soups_and_watched_masks_in_pieces_write_the_bytes_of_uninterrupted_ones(
        tmp_path, monkeypatch, settings):
    compare(tickets(**{'algorithm.rounds': 1, **settings}), tmp_path, monkeypatch)


@pytest.mark.slow
def test_several_seeds_in_pieces_write_the_bytes_of_uninterrupted_ones(tmp_path, monkeypatch):
    compare(tickets(**{'algorithm.rounds': 1}), tmp_path, monkeypatch, seeds=(0, 3), stops=8)


GEMS: dict[str, dict[str, Any]] = {
    'gem-miner': {'algorithm.freeze_every': '10 iterations'}, 'edge-popup': {'algorithm.save_every': '10 iterations'},
    'global-edge-popup': {'algorithm.shrink_every': '10 iterations'},
    'hypercube': {'algorithm.save_every': '24 iterations', 'algorithm.rounding': 'at-end'},
    'supermask': {'algorithm.save_every': '24 iterations', 'algorithm.rescale': True},
    'gates': {'algorithm.save_every': '24 iterations', 'algorithm.values': 'soft', 'algorithm.penalty': 0.1}}


@pytest.mark.parametrize('algorithm', [
    'gem-miner', *[pytest.param(name, marks=pytest.mark.slow) for name in GEMS if name != 'gem-miner']])
def test_a_search_for_gems_in_pieces_writes_the_bytes_of_an_uninterrupted_one(tmp_path, monkeypatch, algorithm):
    compare(gems(algorithm, **GEMS[algorithm]), tmp_path, monkeypatch, stops=6)


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / 'source'
    runner.run_plan(tickets(), target(folder, 'off'), (0,), SilentReporter())
    return folder


def open_plan(source: Path, kind: str) -> Plan:
    """The plan of a derived run in a folder within RUN-derived."""

    opened = open_source(parse_run_path(str(source)))
    if kind == 'finetune':
        return finetune_plan(opened, source.parent / 'source-derived' / 'complete')
    if kind == 'control':
        return control_plans(['reinit'], opened.plan, source, draws=1)['reinit'][0]
    rounds = open_source_rounds(parse_run_path(str(source)), None)
    return transfer_plan(rounds, 'digits', source.parent / 'source-derived' / 'complete', Changes(options=SHORT),
                         ticket='random')


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['finetune', 'control', 'transfer'])
def test_a_derived_run_in_pieces_writes_the_bytes_of_an_uninterrupted_one(tmp_path, monkeypatch, source, kind):
    compare(open_plan(source, kind), tmp_path / 'source-derived', monkeypatch, stops=5)


def test_a_checkpoint_is_reported_recorded_and_resumed_from_its_iteration(tmp_path):
    class Interrupt(Notes):
        def progress(self, progress: SeedProgress) -> None:
            super().progress(progress)
            if progress.checkpoint and progress.step == 9:
                signal.raise_signal(signal.SIGTERM)
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    with pytest.raises(signals.Interrupted) as caught:
        runner.run_plan(tickets(), target(tmp_path), (0,), Interrupt())
    signal.signal(signal.SIGTERM, before)
    assert caught.value.number == signal.SIGTERM
    saved, = tmp_path.glob('seed-0/checkpoint/*')
    # 12 is the next multiple of 3, 10 the next iteration that is measured.
    assert saved.name == 'round-00-step-0000010' and {path.name for path in saved.iterdir()} == {
        'state.safetensors', 'SHA256SUMS'}
    assert len(list(tmp_path.glob('sessions/*.json'))) == 1
    notes = Notes()
    runner.run_plan(tickets(), target(tmp_path), (0,), notes)
    assert notes.reports[0][:3] == ((0,), 0, 10)
    assert not any('checkpoint' in text for text in notes.messages)


@pytest.fixture
def interrupted(tmp_path, monkeypatch) -> Path:
    """The folder of a run that was interrupted in round 0."""

    def interrupt(self: RunCheckpoints, snapshot: Snapshot) -> None:
        keep(self, snapshot)
        if snapshot.state.step == 10:
            signal.raise_signal(signal.SIGINT)
    keep = RunCheckpoints.keep
    with monkeypatch.context() as patch, pytest.raises(signals.Interrupted):
        patch.setattr(RunCheckpoints, 'keep', interrupt)
        runner.run_plan(tickets(), target(tmp_path / 'run'), (0,), SilentReporter())
    return tmp_path / 'run'


def checkpoint_file(run: Path) -> Path:
    path, = run.glob('seed-0/checkpoint/*/state.safetensors')
    return path


@pytest.mark.parametrize('damage', [
    lambda path: path.write_bytes(path.read_bytes()[:-4] + b'\0\0\0\1'), lambda path: path.unlink(),
    lambda path: (path.parent / 'SHA256SUMS').unlink(), lambda path: path.with_name('more').write_bytes(b''),
    lambda path: path.parent.rename(path.parent.with_name('round-00-step-0000011')),
    lambda path: (path.unlink(), path.mkdir())], ids=['bit', 'file', 'sums', 'added', 'renamed', 'folder'])
def test_a_damaged_checkpoint_is_refused_with_its_path_and_the_command_that_repairs(interrupted, damage):
    damage(checkpoint_file(interrupted))
    with pytest.raises(LthError, match=r'seed-0/checkpoint/round-00-step-.* lth repair') as caught:
        runner.run_plan(tickets(), target(interrupted), (0,), SilentReporter())
    assert caught.value.exit_code == 2
    damaged, = repair(interrupted).damaged
    assert damaged.path.parent.name == 'checkpoint'
    runner.run_plan(tickets(), target(interrupted), (0,), SilentReporter())


@pytest.mark.parametrize('change', [
    lambda tensors, header: tensors.update({'0/weights': tensors['0/weights'].half()}),
    lambda tensors, header: tensors.update({'0/weights': tensors['0/weights'] * float('nan')}),
    lambda tensors, header: tensors.update({'0/weights': tensors['0/weights'][:, 1:]}),
    lambda tensors, header: tensors.update({'0/more': torch.zeros(1)}),
    lambda tensors, header: tensors.pop('0/optimizer/step'), lambda tensors, header: tensors.pop('0/losses'),
    lambda tensors, header: tensors['0/history'].__setitem__((0, 0, 0), 99.),
    lambda tensors, header: header.update(seed=1), lambda tensors, header: header.update(format=3),
    lambda tensors, header: header.pop('trainings'), lambda tensors, header: header.update(trainings=[]),
    lambda tensors, header: header['trainings'][0].update(step=-1)])
def test_a_checkpoint_that_its_training_could_not_have_written_is_refused(interrupted, change):
    path = checkpoint_file(interrupted)
    header, tensors = tensor_files.decode(path.read_bytes(), path, '')
    change(tensors, header)
    for name, content in integrity.with_sums({path.name: tensor_files.encode(tensors, header)}).items():
        path.with_name(name).write_bytes(content)
    with pytest.raises(LthError, match=r'seed-0/checkpoint/round-00-step-.* (lth repair|move .* away)'):
        runner.run_plan(tickets(), target(interrupted), (0,), SilentReporter())


def test_a_checkpoint_of_another_training_is_not_used_and_a_note_says_so(interrupted, tmp_path):
    saved = checkpoint_file(interrupted).parent
    other, notes = tmp_path / 'other', Notes()
    plan = tickets(**{'training.batch_size': 30})
    shutil.copytree(saved, other / 'seed-0/checkpoint' / saved.name)
    (other / 'recipe.yaml').write_bytes(yaml_text.dump_yaml(plan.recipe.dump()).encode())
    runner.run_plan(plan, target(other, 'off'), (0,), notes)
    assert any(str(other / 'seed-0/checkpoint') in text and 'not used' in text for text in notes.messages)
    expected = tmp_path / 'expected'
    runner.run_plan(plan, target(expected, 'off'), (0,), SilentReporter())
    assert contents(other) == contents(expected)


def test_what_was_left_of_a_checkpoint_is_removed_and_the_complete_one_is_used(interrupted):
    saved = checkpoint_file(interrupted).parent
    (saved.parent / 'round-00-step-0000013.partial').mkdir()
    notes = Notes()
    runner.run_plan(tickets(), target(interrupted, 'off'), (0,), notes)
    assert notes.reports[0].step == 10 and not saved.parent.exists()


def test_a_checkpoint_of_a_complete_round_is_removed(interrupted, tmp_path):
    shutil.copytree(interrupted / 'seed-0/checkpoint', tmp_path / 'copy')
    runner.run_plan(tickets(), target(interrupted), (0,), SilentReporter())
    shutil.copytree(tmp_path / 'copy', interrupted / 'seed-0/checkpoint')
    runner.run_plan(tickets(), target(interrupted), (0,), SilentReporter())
    assert not (interrupted / 'seed-0/checkpoint').exists()


def test_without_checkpoints_a_signal_still_ends_the_run_soon(tmp_path, monkeypatch):
    def interrupt(self: RunCheckpoints, snapshot: Snapshot) -> None:
        signal.raise_signal(signal.SIGINT)
        keep(self, snapshot)
    keep = RunCheckpoints.keep
    monkeypatch.setattr(RunCheckpoints, 'keep', interrupt)
    with pytest.raises(signals.Interrupted):
        runner.run_plan(tickets(), target(tmp_path / 'run', 'off'), (0,), SilentReporter())
    assert not list(tmp_path.rglob('checkpoint'))


@pytest.mark.parametrize(('text', 'interval'), [
    ('10 minutes', CheckpointInterval(seconds=600)), ('1 hour', CheckpointInterval(seconds=3600)),
    ('200 iterations', CheckpointInterval(iterations=200)), ('off', CheckpointInterval())])
def test_an_interval_is_a_time_a_number_of_iterations_or_off(text, interval):
    assert checkpoint_interval(text) == interval


@pytest.mark.parametrize('text', ['', '0 minutes', 'ten minutes', '-1 hours', '5', '2 epochs', '9' * 5000 + ' hours'])
def test_an_unknown_interval_is_an_error_that_shows_one(text):
    with pytest.raises(LthError, match="such as '10 minutes', '200 iterations' or 'off'") as caught:
        checkpoint_interval(text)
    assert len(str(caught.value)) < 300


@pytest.mark.timeout(900)
@pytest.mark.xdist_group('session')
@pytest.mark.parametrize('number', [
    pytest.param(signal.SIGTERM, marks=pytest.mark.long), pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_workers_that_are_interrupted_within_rounds_resume_byte_for_byte(tmp_path, number):
    def newest() -> set[str]:
        return {path.name for path in tmp_path.glob('run/seed-?/checkpoint/round-*-step-*') if path.suffix == ''}
    options = ('--seeds', '0-1', '--checkpoint-every', '5 iterations')
    for _ in range(2):
        before = newest()
        with start_search(tmp_path, *options) as process:
            assert wait_until(lambda: len(newest() - before) >= 2 or process.poll() is not None, 150)
            workers = children(process.pid)
            os.killpg(process.pid, number)
            start = time.monotonic()
            _, errors = process.communicate(timeout=60)
        assert time.monotonic() - start < 15  # on a busy machine
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
        assert wait_until(lambda: not any(is_running(worker) for worker in workers), 10)
        assert 'Traceback' not in errors and 'ignored' not in errors
        if number != signal.SIGKILL:
            assert errors.splitlines()[-1].startswith('  lth find-ticket lenet-300-100 digits')
        assert newest()
    with start_search(tmp_path, *options) as process:
        _, errors = process.communicate(timeout=250)
    assert process.returncode == 0, errors
    expected = tmp_path / 'expected'
    run_search(expected, 0, 1)
    assert contents(tmp_path / 'run') == contents(expected / 'run')
