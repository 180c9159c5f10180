"""Runs that are interrupted within rounds and resumed from checkpoints write the same bytes as uninterrupted ones."""
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lth.errors import LthError
from lth.experiments import runner
from lth.experiments.derived_plans import control_plans, finetune_plan, open_transferred, transfer_plan
from lth.experiments.open_run import open_source, parse_run_path
from lth.experiments.plan import Plan
from lth.experiments.reporter import SeedProgress, SilentReporter
from lth.experiments.resolve import Changes, gem_plan, ticket_plan
from lth.experiments.run_target import RunTarget
from lth.runs.checkpoints import RunCheckpoints
from lth.system import signals
from lth.training.checkpoint_interval import CheckpointInterval, checkpoint_interval
from lth.training.task import Snapshot

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


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a run, except the record of its sessions."""

    paths = [path for path in folder.rglob('*') if path.is_file() and 'sessions' not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


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


@pytest.mark.slow
def test_several_seeds_in_pieces_write_the_bytes_of_uninterrupted_ones(tmp_path, monkeypatch):
    compare(tickets(**{'algorithm.rounds': 1}), tmp_path, monkeypatch, seeds=(0, 3), stops=8)


GEMS: dict[str, dict[str, Any]] = {
    'gem-miner': {'algorithm.freeze_every': '10 iterations'}, 'edge-popup': {'algorithm.save_every': '10 iterations'},
    'global-edge-popup': {'algorithm.shrink_every': '10 iterations'},
    'hypercube': {'algorithm.save_every': '24 iterations', 'algorithm.rounding': 'at-end'},
    'supermask': {'algorithm.save_every': '24 iterations', 'algorithm.rescale': True}}


@pytest.mark.parametrize('algorithm', [
    'gem-miner', *[pytest.param(name, marks=pytest.mark.slow) for name in GEMS if name != 'gem-miner']])
def test_a_search_for_gems_in_pieces_writes_the_bytes_of_an_uninterrupted_one(tmp_path, monkeypatch, algorithm):
    compare(gems(algorithm, **GEMS[algorithm]), tmp_path, monkeypatch, stops=5)


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
    rounds = open_transferred(parse_run_path(str(source)), None)
    return transfer_plan(rounds, 'digits', source.parent / 'source-derived' / 'complete', Changes(options=SHORT),
                         ticket='random')


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['finetune', 'control', 'transfer'])
def test_a_derived_run_in_pieces_writes_the_bytes_of_an_uninterrupted_one(tmp_path, monkeypatch, source, kind):
    compare(open_plan(source, kind), tmp_path / 'source-derived', monkeypatch, stops=5)
