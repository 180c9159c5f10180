"""What a job does on its node, in this process: training, errors, and the signals by which it is asked to end."""
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from lth import __version__
from lth.experiments import provenance
from lth.experiments.changes import Changes
from lth.experiments.executors.protocol import Task
from lth.experiments.executors.slurm import node, task_file
from lth.experiments.executors.slurm.event_file import EventReader, EventWriter, TaskEvent
from lth.experiments.reporter import SilentReporter
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget
from lth.experiments.runner import run_plan
from lth.registry import trust
from lth.training.checkpoint_interval import CheckpointInterval

PLAN = ticket_plan('lenet-300-100', 'digits', Changes(epochs=2, options={'algorithm.rounds': 1}))


@pytest.fixture(autouse=True)
def _process(monkeypatch, tmp_path):
    """Restore what a job sets in its process."""

    before = trust.current(), list(sys.path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['lth', 'find-ticket'])
    monkeypatch.delenv('SUBMITIT_EXECUTOR', raising=False)
    yield
    trust.set_current(before[0])
    sys.path[:] = before[1]
    for number, handler in handlers.items():
        signal.signal(number, handler)


def write_task(run: Path, **target: object) -> task_file.TaskFolder:
    folder = task_file.folder_of(run, 'lth-00', 0)
    task = Task(PLAN.recipe.dump(), RunTarget(run, Path('datasets'), 'cpu', **target), (0,),
                provenance.code_inputs(PLAN), 'seed 0')
    task_file.write_task(folder, task, run / 'slurm/lth-00', minutes=0)
    return folder


def events_of(folder: task_file.TaskFolder) -> list[TaskEvent]:
    return EventReader(folder.events).read()


def files_of(run: Path) -> dict[str, bytes]:
    """The recipe and all files of seeds."""

    paths = [run / 'recipe.yaml', *run.glob('seed-*/**/*')]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths if path.is_file()}


@pytest.fixture(scope='module', name='reference')
def _reference(tmp_path_factory) -> dict[str, bytes]:
    run = tmp_path_factory.mktemp('reference') / 'run'
    run_plan(PLAN, RunTarget(run, Path('datasets'), 'cpu'), [0], SilentReporter())
    return files_of(run)


def fail(folder: task_file.TaskFolder) -> TaskEvent:
    """The last event of a task that fails."""

    with pytest.raises(SystemExit):
        node.run_task(str(folder.path))
    return events_of(folder)[-1]


def test_a_job_trains_its_seeds_and_records_its_session_as_a_local_run_does(tmp_path, reference, monkeypatch):
    monkeypatch.setenv('SLURM_JOB_ID', '12')
    folder = write_task(tmp_path / 'run')
    node.run_task(str(folder.path))
    assert files_of(tmp_path / 'run') == reference
    (session,) = (tmp_path / 'run/sessions').glob('*.json')
    assert json.loads(session.read_text())['job'] == 'Slurm job 12'
    events = events_of(folder)
    assert [event.kind for event in (events[0], events[-1])] == ['start', 'end'] and events[-1].failure is None
    assert sum(event.progress.saved for event in events if event.progress) == 2


def test_a_job_that_is_asked_to_end_saves_a_checkpoint_and_resumes_byte_for_byte(tmp_path, reference, monkeypatch):
    folder, saved = write_task(tmp_path / 'run'), EventWriter.round_saved

    def stop_after_a_round(writer, progress):
        saved(writer, progress)
        signal.raise_signal(signal.SIGUSR2)
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(EventWriter, 'round_saved', stop_after_a_round)
        node.run_task(str(folder.path))
    assert caught.value.code == 144 and events_of(folder)[-1].kind == 'stop'  # submitit starts it again
    assert files_of(tmp_path / 'run') != reference
    node.run_task(str(folder.path))
    assert files_of(tmp_path / 'run') == reference and events_of(folder)[-1].kind == 'end'


def test_a_job_too_short_to_save_anything_is_not_queued_again(tmp_path, monkeypatch):
    folder = write_task(tmp_path / 'run', checkpoint_every=CheckpointInterval())
    monkeypatch.setattr(EventWriter, 'progress', lambda *_: signal.raise_signal(signal.SIGUSR2))
    failure = fail(folder).failure
    assert 'too short: it ended before anything was saved' in failure.message and failure.exit_code == 2


def test_a_job_of_another_version_of_lth_is_refused_with_both_versions(tmp_path, monkeypatch):
    folder = write_task(tmp_path / 'run')
    monkeypatch.setattr(task_file, '__version__', '9.9.9')
    assert f'submitted by lth {__version__}, and this is lth 9.9.9' in fail(folder).failure.message


def test_a_job_on_a_node_without_the_folder_of_the_command_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv('SLURM_ARRAY_JOB_ID', '12')
    monkeypatch.setenv('SLURM_ARRAY_TASK_ID', '3')
    os.mkdir('elsewhere')
    os.chdir('elsewhere')
    folder = write_task(tmp_path / 'run')
    os.chdir(tmp_path)
    shutil.rmtree('elsewhere')
    message = fail(folder).failure.message
    assert 'elsewhere, in which the command was given, cannot be entered' in message and 'Slurm job 12_3)' in message


def test_a_job_with_other_code_than_that_of_the_command_is_refused(tmp_path):
    folder = write_task(tmp_path / 'run')
    content = json.loads((folder.path / 'task.json').read_text())
    content['expected']['network'] = 'other'
    (folder.path / 'task.json').write_text(json.dumps(content))
    assert 'seed 0 cannot be trained: this command was started with another network' in fail(folder).failure.message


def test_a_job_whose_seed_another_process_trains_names_that_process(tmp_path, monkeypatch):
    from lth.runs import run_locks
    folder = write_task(tmp_path / 'run')
    with run_locks.hold_seeds(tmp_path / 'run', [0]):
        message = fail(folder).failure.message
    assert f'is being written by process {os.getpid()}' in message


def test_a_bug_is_the_end_of_the_task_too(tmp_path, monkeypatch):
    folder = write_task(tmp_path / 'run')
    monkeypatch.setattr(node, 'make_plan', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        node.run_task(str(folder.path))
    assert events_of(folder)[-1].failure.is_bug
