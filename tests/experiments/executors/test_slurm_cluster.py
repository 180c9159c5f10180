"""Runs and sweeps on a real Slurm cluster on this machine: preempted, cancelled and followed again; and in processes of
submitit.
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lth.experiments.changes import Changes
from lth.experiments.plan import make_plan
from lth.experiments.reporter import SeedProgress, SilentReporter
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget
from lth.experiments.runner import run_plan
from lth.system import yaml_text
from tests.slurm_cluster import SlurmCluster, slurm, slurm_cluster

pytest.importorskip('submitit')
__all__ = ['slurm', 'slurm_cluster']
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('slurm')]
ROOT = Path(__file__).parents[3]
SETTINGS = ['--executor', 'slurm', '--executor-set', 'poll_seconds=1', '--executor-set', 'memory=1500 MB']
# Long enough that a job is stopped within a round.
GRID = """
command: find-ticket lenet-300-100 digits -i 1 -e 400
seeds: 0
folder: {folder}
grid:
  training.batch_size: [50, 60]
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command of lth in a process of its own."""

    environment = os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'COLUMNS': '200'}
    return subprocess.Popen([sys.executable, '-m', 'lth', *arguments], cwd=folder, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for(found: Callable[[], object], what: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f'{what} did not happen within {seconds} s'
        time.sleep(0.1)


def files_of(folder: Path) -> dict[str, bytes]:
    """The recipes and all files of seeds below a folder."""

    paths = [*folder.glob('**/recipe.yaml'), *folder.glob('**/seed-*/**/*')]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def steps_in(folder: Path, number: int) -> list[int]:
    """The iterations of a round that the task in this folder has reported."""

    text = (folder / 'events.jsonl').read_text() if (folder / 'events.jsonl').exists() else ''
    return [int(step) for step in re.findall(rf'"number": {number}, "step": (\d+)', text)]


def train_here(sweep: Path, folder: Path) -> None:
    """Train the cells of a sweep undisturbed, in this process."""

    for recipe in sweep.glob('*/recipe.yaml'):
        plan = make_plan(yaml_text.read_yaml(recipe), 'recipe.yaml')
        run_plan(plan, RunTarget(folder / recipe.parent.name, Path('datasets'), 'cpu'), [0], SilentReporter())


def running_jobs(slurm: SlurmCluster) -> list[str]:
    return [job for job, state in slurm.states().items() if state == 'RUNNING']


def test_a_sweep_that_is_preempted_in_a_round_and_whose_command_is_killed_equals_an_undisturbed_one(
        slurm: SlurmCluster, tmp_path):
    (tmp_path / 'grid.yaml').write_text(GRID.format(folder=tmp_path / 'sweep'))
    command = 'sweep', 'run', 'grid.yaml', *SETTINGS
    driver = start(tmp_path, *command)

    stopped = set[int]()

    def are_stopped_in_the_second_round() -> bool:
        for task in tmp_path.glob('sweep/*/slurm/lth-*-[01]'):
            if len(steps_in(task, 1)) > 1:
                process = json.loads((task.parents[1] / 'seed-0/lock').read_text())['process']
                # Otherwise it may complete its training before the other one is there.
                os.kill(process, signal.SIGSTOP)
                stopped.add(process)
        return len(stopped) == 2
    wait_for(are_stopped_in_the_second_round, 'the second round')
    jobs = running_jobs(slurm)
    driver.kill()
    driver.wait()
    slurm.preempt(*jobs)
    output = start(tmp_path, *command).communicate(timeout=300)[0]
    assert '2 complete, 0 failed' in output and output.count('is in the queue already') == 2, output
    assert output.count('was preempted. It is queued again') == 2, output
    train_here(tmp_path / 'sweep', tmp_path / 'undisturbed')
    assert files_of(tmp_path / 'sweep') == files_of(tmp_path / 'undisturbed')


def test_a_job_that_is_cancelled_fails_its_seed_and_the_others_complete(slurm: SlurmCluster, tmp_path):
    run = tmp_path / 'run'
    command = 'find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '400', '--run', str(run), *SETTINGS
    driver = start(tmp_path, *command, '--seeds', '0-1')
    wait_for(lambda: list(run.glob('slurm/*-0/events.jsonl')), 'the start of seed 0')
    (job,) = [job for job in running_jobs(slurm) if job.endswith('_0')]
    slurm.run('scancel', job)
    output = driver.communicate(timeout=300)[0]
    assert driver.returncode == 3 and f'seed 0: Slurm job {job} was cancelled' in output, output
    assert (run / 'seed-1/round-01').is_dir() and not (run / 'seed-0/round-01').exists()


class StopReporter(SilentReporter):
    """Asks the job to end, as submitit does before its time limit, when it is in the second round."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.messages: list[str] = []
        self._lock = run / 'seed-0/lock'

    def message(self, text: str) -> None:
        self.messages.append(text)

    def round_saved(self, progress: SeedProgress) -> None:
        if progress.number == 0:
            os.kill(json.loads(self._lock.read_text())['process'], signal.SIGUSR2)


def test_a_job_of_submitit_on_this_machine_resumes_byte_for_byte_after_its_time_limit(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    plan = ticket_plan('lenet-300-100', 'digits', Changes(epochs=400, options={'algorithm.rounds': 1}))
    target = RunTarget(tmp_path / 'run', Path('datasets'), 'cpu', executor='slurm',
                       executor_settings={'cluster': 'local', 'poll_seconds': 1})
    reporter = StopReporter(tmp_path / 'run')
    run_plan(plan, target, [0], reporter)
    assert any('reached its time limit. It is queued again' in message for message in reporter.messages)
    run_plan(plan, RunTarget(tmp_path / 'undisturbed', Path('datasets'), 'cpu'), [0], SilentReporter())
    assert files_of(tmp_path / 'run') == files_of(tmp_path / 'undisturbed')
