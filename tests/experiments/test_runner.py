"""A run that is killed, interrupted, resumed and joined late, as processes of their own."""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lth.datasets import DATASETS, Dataset
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments import runner
from lth.experiments.changes import Changes
from lth.experiments.reporter import Reporter, SeedProgress, SilentReporter
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget
from lth.recipes.schema import DataSettings
from tests.running_processes import children, is_running

# As many epochs that a search does not end, on a fast machine, before a test that is held up can interrupt it.
EPOCHS = 20
COMMAND = [
    sys.executable, '-m', 'lth', 'find-ticket', 'lenet-300-100', 'digits', '-i', '4', '--run', './run']


def start_search(folder: Path, *more: str) -> 'subprocess.Popen[str]':
    epochs = () if '-e' in more else ('-e', str(EPOCHS))
    return subprocess.Popen([*COMMAND, *epochs, *more], cwd=folder, text=True, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_search(folder: Path, *seeds: int) -> None:
    """Run the same search for each seed alone, in this process: starting another one takes seconds."""

    plan = ticket_plan('lenet-300-100', 'digits', Changes(epochs=EPOCHS, options={'algorithm.rounds': 4}))
    for seed in seeds:
        runner.run_plan(plan, RunTarget(folder / 'run', folder, 'cpu'), [seed], SilentReporter())


def fingerprints(folder: Path) -> dict[str, str]:
    """Digests of all files of the run, except the record of its sessions, which contains times."""

    files = [path for path in (folder / 'run').rglob('*') if path.is_file() and path.parent.name != 'sessions']
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def wait_until(condition, seconds: float) -> bool:
    """Whether the condition became true within the time."""

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def rounds_on_disk(folder: Path) -> int:
    return len(list((folder / 'run').glob('seed-*/round-??')))


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp('uninterrupted')
    run_search(folder, 1, 0)
    return fingerprints(folder)


@pytest.mark.slow
@pytest.mark.xdist_group('session')
def test_seeds_trained_together_equal_seeds_trained_alone(tmp_path, uninterrupted):
    with start_search(tmp_path, '--seeds', '0-1') as process:
        _, errors = process.communicate(timeout=250)
    assert process.returncode == 0, errors
    assert fingerprints(tmp_path) == uninterrupted


@pytest.mark.slow
@pytest.mark.xdist_group('session')
def test_a_run_that_is_killed_and_resumed_equals_an_uninterrupted_one_byte_for_byte(tmp_path, uninterrupted):
    # In the middle of training and of writing: fractions of a second after a round appears.
    for wait in (0., 0.043):
        before = rounds_on_disk(tmp_path)
        with start_search(tmp_path) as process:
            wait_until(lambda: rounds_on_disk(tmp_path) > before or process.poll() is not None, 150)
            time.sleep(wait)
            os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    run_search(tmp_path, 0, 1)
    assert fingerprints(tmp_path) == uninterrupted


@pytest.mark.parametrize('settings', [
    {'algorithm.criterion': 'movement', 'algorithm.mask_1_action': 'reinitialize', 'algorithm.mask_0_action': 'freeze'},
    {'algorithm.retrain': 'fine-tuning'}, {'algorithm.retrain': 'strategy-2'}], ids=str)
def test_an_interrupted_round_is_trained_again_with_equal_results(tmp_path, settings):
    options = {'algorithm.rounds': 2, 'training.length': '2 epochs', **settings}
    plan = ticket_plan('lenet-300-100', 'digits', Changes(options=options))

    class Interrupt(SilentReporter):
        def progress(self, progress: SeedProgress) -> None:
            if progress.number == 1 and 0 < progress.step < plan.steps and progress.test:
                raise KeyboardInterrupt

    def search(name: str, reporter: Reporter) -> dict[str, str]:
        runner.run_plan(plan, RunTarget(tmp_path / name / 'run', tmp_path, 'cpu'), [0], reporter)
        return fingerprints(tmp_path / name)
    expected = search('uninterrupted', SilentReporter())
    with pytest.raises(KeyboardInterrupt):
        search('interrupted', Interrupt())
    assert rounds_on_disk(tmp_path / 'interrupted') == 1
    assert search('interrupted', SilentReporter()) == expected


@pytest.mark.slow
@pytest.mark.xdist_group('session')
@pytest.mark.parametrize('signal_number', [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent_process(tmp_path, signal_number):
    with start_search(tmp_path, '--seeds', '0-1', '-e', '2000') as process:
        assert wait_until(lambda: len(children(process.pid)) >= 3, 150)
        workers = children(process.pid)
        os.kill(process.pid, signal_number)
        assert process.wait() == (143 if signal_number is signal.SIGTERM else -signal.SIGKILL)
        assert wait_until(lambda: not any(is_running(worker) for worker in workers), 60)


@pytest.mark.slow
@pytest.mark.xdist_group('session')
@pytest.mark.parametrize('seeds', ['0', '0-1'])
def test_ctrl_c_stops_soon_keeps_completed_rounds_and_prints_the_command_to_resume(tmp_path, seeds):
    with start_search(tmp_path, '--seeds', seeds) as process:
        assert wait_until(lambda: rounds_on_disk(tmp_path) >= 1, 150)
        os.killpg(process.pid, signal.SIGINT)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - start < 20
    assert process.returncode == 130
    assert 'Interrupted' in errors
    assert errors.rstrip().endswith(
        f'lth find-ticket lenet-300-100 digits -i 4 --run ./run -e {EPOCHS} --seeds {seeds}')
    assert 'Traceback' not in errors
    assert rounds_on_disk(tmp_path) >= 1 and not list(tmp_path.rglob('*lock'))


def test_a_run_of_another_recipe_that_started_while_the_data_were_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = RunTarget(tmp_path / 'run', tmp_path)

    def search(batch_size: int, read: Callable[[Path, DataSettings], Dataset]) -> None:
        settings = {'algorithm.rounds': 0, 'training.length': '1 epochs', 'training.batch_size': batch_size}
        plan = ticket_plan('lenet-300-100', 'digits', Changes(options=settings))
        plan = replace(plan, source=replace(plan.source, read=read))
        runner.run_plan(plan, target, [0], SilentReporter())

    def read_after_another_search(folder: Path, settings: DataSettings) -> Dataset:
        search(30, DATASETS.find('digits').read)
        return DATASETS.find('digits').read(folder, settings)

    with pytest.raises(LthError, match='training.batch_size: 30 / 60'):
        search(60, read_after_another_search)
    assert rounds_on_disk(tmp_path) == 1


@pytest.mark.slow
def test_commands_train_other_seeds_of_a_run_at_the_same_time_but_not_the_same_seed_or_another_recipe(tmp_path):
    def search(seeds: list[int], reporter: Reporter = SilentReporter(), **settings: object) -> None:
        settings = {'algorithm.rounds': 1, 'training.length': '1 epochs', **settings}
        plan = ticket_plan('lenet-300-100', 'digits', Changes(options=settings))
        runner.run_plan(plan, RunTarget(tmp_path / 'run', tmp_path, 'cpu'), seeds, reporter)

    class OtherCommands(SilentReporter):
        """While seed 0 trains its first round, other commands start."""

        def progress(self, progress: SeedProgress) -> None:
            if not list(tmp_path.glob('run/seed-1/round-*')):
                with pytest.raises(LthError, match='seed-0 is being written by process .*other seeds') as caught:
                    search([0, 1])
                assert caught.value.exit_code == ENVIRONMENT_ERROR
                with pytest.raises(LthError, match='training.batch_size: 60 / 30'):
                    search([1], **{'training.batch_size': 30})
                search([1])

    search([0], OtherCommands())
    together = fingerprints(tmp_path)
    shutil.rmtree(tmp_path / 'run')
    search([0, 1])
    assert fingerprints(tmp_path) == together and rounds_on_disk(tmp_path) == 4


@pytest.mark.parametrize('rounds', [0, 1], ids=['complete', 'resumed'])
def test_files_that_a_killed_command_left_outside_of_rounds_are_removed(tmp_path, rounds):
    def search(count: int) -> None:
        plan = ticket_plan('lenet-300-100', 'digits', Changes(options={
            'algorithm.rounds': count, 'training.length': '1 iterations', 'training.measure_every': '1 iterations'}))
        runner.run_plan(plan, RunTarget(tmp_path / 'run', tmp_path, 'cpu'), [0], SilentReporter())
    search(0)
    before = set((tmp_path / 'run').rglob('*'))
    for name in ('recipe.yaml.1.partial', 'sessions/a.json.1.partial', '.lock', 'seed-0/lock'):
        (tmp_path / 'run' / name).write_text('')
    search(rounds)
    assert {path for path in (tmp_path / 'run').rglob('*') if 'partial' in path.name or 'lock' in path.name} == set()
    assert before <= set((tmp_path / 'run').rglob('*'))


def test_a_folder_with_a_recipe_but_no_round_takes_another_recipe(tmp_path):
    def search(batch_size: int, reporter: Reporter = SilentReporter()) -> None:
        settings = {'algorithm.rounds': 0, 'training.length': '1 epochs', 'training.batch_size': batch_size}
        plan = ticket_plan('lenet-300-100', 'digits', Changes(options=settings))
        runner.run_plan(plan, RunTarget(tmp_path / 'run', tmp_path, 'cpu'), [0], reporter)

    class Interrupt(SilentReporter):
        def progress(self, progress: SeedProgress) -> None:
            shutil.copytree(tmp_path / 'run', tmp_path / 'killed', dirs_exist_ok=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(30, Interrupt())
    assert not (tmp_path / 'run').exists()
    (tmp_path / 'killed').rename(tmp_path / 'run')
    assert sorted(path.name for path in tmp_path.rglob('run/*')) == ['recipe.yaml', 'seed-0']
    search(60)
    with pytest.raises(LthError, match='training.batch_size: 60 / 30'):
        search(30)


@pytest.mark.xdist_group('session')
def test_a_second_session_in_the_same_run_folder_is_refused(tmp_path, lth):
    with start_search(tmp_path, '-e', '2000') as process:
        assert wait_until(lambda: (tmp_path / 'run/seed-0/lock').exists(), 150)
        second = lth(*COMMAND[3:], '-e', '2000')
        assert second.code == 3 and f'process {process.pid} on' in second.err
        process.kill()
