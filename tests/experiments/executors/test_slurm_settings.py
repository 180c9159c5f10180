"""Settings of the executor slurm, and what it asks Slurm before it submits anything."""
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.executors import make_executor
from lth.experiments.executors.protocol import Task
from lth.experiments.executors.slurm import queue
from lth.experiments.executors.slurm.settings import in_minutes
from lth.experiments.run_target import RunTarget

TARGET = RunTarget(Path('run'), Path('datasets'))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
    """Let these shell scripts be the only programs of Slurm."""

    for name, script in programs.items():
        (folder / name).write_text(f'#!/bin/sh\n{script}\n')
        (folder / name).chmod(0o700)
    monkeypatch.setenv('PATH', f'{folder}:/bin')


@pytest.mark.parametrize(('text', 'minutes'), [
    ('90 minutes', 90), ('1 hour', 60), ('2 days', 2880), ('0:30:00', 30), ('12:00:01', 721), ('1-12:00:00', 2160)])
def test_time_limits_are_read_as_words_and_as_clocks(text, minutes):
    assert in_minutes(text) == minutes


@pytest.mark.parametrize(('settings', 'message'), [
    ({'time': '1:30'}, "it should be a time such as '90 minutes'"),
    ({'time': 90}, "it should be a time such as '90 minutes'"),
    ({'time': '0 hours'}, 'at least 1 minute'),
    ({'memory': '3GiB'}, "'16 GB'; it is '3GiB'"),
    ({'gpus': 2}, 'less than or equal to 1; it is 2'),
    ({'gpu_type': 'a100'}, 'gpu_type has no effect without gpus'),
    ({'partiton': 'gpu'}, "unknown key 'partiton', did you mean 'partition'?"),
    ({'partition': 'a\n#SBATCH --account=b'}, 'it should be one line of text'),
    ({'setup': ['module load cuda', '']}, 'it should be one line of text'),
    ({'sbatch': {'array': '0-9'}}, 'array is set by lth: leave it out'),
    ({'sbatch': {'mem': '4G'}}, 'write memory next to sbatch'),
    ({'sbatch': {'--exclude': 'node3'}}, 'write its long name without dashes'),
    ({'sbatch': {'exclude': 'a\nb'}}, 'it should be one line of text'),
    ({'time': '1 minute', 'warning_seconds': 60}, 'should be less than time, 1 minute')])
def test_wrong_settings_are_refused_with_their_names(settings, message):
    with pytest.raises(LthError) as caught:
        make_executor('slurm', settings)
    assert message in str(caught.value) and str(caught.value).startswith('--executor slurm: ')


@pytest.mark.parametrize(('settings', 'device', 'expected'), [
    ({}, 'auto', 'cpu'), ({}, 'cpu', 'cpu'), ({'gpus': 1}, 'cuda', 'cuda'), ({'gpus': 1}, 'auto', None),
    ({'gpus': 1}, 'cpu', None), ({}, 'cuda', None)])
def test_the_device_of_a_task_fits_to_the_gpus_of_its_job(settings, device, expected):
    executor = make_executor('slurm', settings)
    target = RunTarget(Path('run'), Path('datasets'), device)
    if expected:
        assert executor.task_target(target).device == expected
    else:
        with pytest.raises(LthError, match='gpus'):
            executor.task_target(target)


def test_without_slurm_the_error_says_where_to_run_the_command(tmp_path, monkeypatch):
    pytest.importorskip('submitit')
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(LthError, match="no command 'sinfo'. Run this on a login node") as caught, \
            make_executor('slurm', {}).open(TARGET):
        pass
    assert caught.value.exit_code == ENVIRONMENT_ERROR


def test_a_slurm_that_does_not_answer_is_an_error_within_the_time_limit(tmp_path, monkeypatch):
    pytest.importorskip('submitit')
    install(tmp_path, monkeypatch, sinfo='exec sleep 60')
    start = time.monotonic()
    with pytest.raises(LthError, match='did not answer within 1 s: sinfo was still waiting') as caught, \
            make_executor('slurm', {'answer_seconds': 1}).open(TARGET):
        pass
    assert caught.value.exit_code == ENVIRONMENT_ERROR and time.monotonic() - start < 10


def test_a_slurm_that_fails_is_an_error_with_its_words(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, sinfo='echo "slurm_load_partitions: Unable to contact slurm controller" >&2; exit 1')
    with pytest.raises(LthError, match='Unable to contact slurm controller') as caught:
        queue.refuse_unknown_partition(None, minutes=1, seconds=10)
    assert caught.value.exit_code == ENVIRONMENT_ERROR


@pytest.mark.parametrize(('partition', 'minutes', 'message'), [
    ('hgih', 1, "no partition 'hgih', did you mean 'high'?"), ('high', 121, "the partition 'high' allows 2:00:00"),
    (None, 1441, "the partition 'low' allows 1-00:00:00")])
def test_unknown_partitions_and_too_long_times_are_refused(tmp_path, monkeypatch, partition, minutes, message):
    install(tmp_path, monkeypatch, sinfo='echo "low*|1-00:00:00"; echo "high|2:00:00"; echo "endless|infinite"')
    with pytest.raises(LthError) as caught:
        queue.refuse_unknown_partition(partition, minutes=minutes, seconds=10)
    assert message in str(caught.value)


@pytest.mark.parametrize(('partition', 'minutes'), [('high', 120), (None, 1440), ('endless', 500_000)])
def test_partitions_that_allow_the_time_are_accepted(tmp_path, monkeypatch, partition, minutes):
    install(tmp_path, monkeypatch, sinfo='echo "low*|1-00:00:00"; echo "high|2:00:00"; echo "endless|infinite"')
    queue.refuse_unknown_partition(partition, minutes=minutes, seconds=10)


def test_jobs_are_found_by_name_and_place_in_their_array(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, squeue='''echo "lth-a1|0|12_0|RUNNING|None"
echo "lth-a1|1|12_1|PENDING|(Resources)"; echo "lth-b2|N/A|15|OUT_OF_MEMORY|OutOfMemory"''')
    jobs = queue.jobs(seconds=10)
    assert {place: (job.number, job.is_alive) for place, job in jobs.items()} == {
        ('lth-a1', 0): ('12_0', True), ('lth-a1', 1): ('12_1', True), ('lth-b2', 0): ('15', False)}


def test_lines_and_bytes_that_slurm_does_not_print_otherwise_are_ignored(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, sinfo=r'printf "low*|infinite\nsinfo: a note\n"',
            squeue=r'printf "a note\nm\374ller|N/A|14|RUNNING|None\nlth-a1|0|12_0|RUNNING|None\n"')
    queue.refuse_unknown_partition(None, minutes=1, seconds=10)
    assert queue.jobs(seconds=10).keys() == {('lth-a1', 0), ('m\ufffdller', 0)}


def test_an_answer_of_sbatch_that_is_no_number_is_a_refusal(tmp_path, monkeypatch):
    pytest.importorskip('submitit')
    install(tmp_path, monkeypatch, sinfo='echo "low*|infinite"', sbatch='echo garbage', srun='')
    with make_executor('slurm', {}).open(TARGET) as session:
        session.submit(Task({}, replace(TARGET, folder=tmp_path / 'run'), (0,), {}, 'seed 0'))
        with pytest.raises(LthError, match='Slurm refused the jobs: .*garbage') as caught:
            list(session.events())
    assert caught.value.exit_code == ENVIRONMENT_ERROR and not (tmp_path / 'run').exists()
