"""Tasks that are followed by their files and by what a queue says about their jobs, with a queue that never starts
them.
"""
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import lth
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.executors.protocol import Ended, Task
from lth.experiments.executors.slurm import followed_task, task_file
from lth.experiments.executors.slurm.event_file import EventReader, EventWriter, StoredFailure, TaskEvent
from lth.experiments.executors.slurm.queue import Job
from lth.experiments.executors.slurm.session import SlurmSession
from lth.experiments.executors.slurm.submission import JobSettings
from lth.experiments.reporter import SeedProgress
from lth.experiments.run_target import RunTarget

SETTINGS = JobSettings(minutes=60, warning_seconds=60, cpus=1, gpus=0, needs={}, parallel=9, setup=(), sbatch={},
                       answer_seconds=1)


@dataclass
class FakeJobs:
    """A queue in which the test sets the states of the jobs. `answers` False: it does not answer."""

    settings: JobSettings = SETTINGS
    arrays: list[list[Path]] = field(default_factory=list)
    states: dict[tuple[str, int], Job] = field(default_factory=dict)
    code: str = ''
    answers: bool = True

    def submit(self, name: str, files: Path, tasks: list[Path]) -> None:
        files.mkdir(parents=True)
        self.arrays.append(list(tasks))
        for index in range(len(tasks)):
            self.states[name, index] = Job(name, index, f'{len(self.arrays)}_{index}', 'PENDING')

    def known(self) -> dict[tuple[str, int], Job]:
        if not self.answers:
            raise LthError('Slurm did not answer.', exit_code=ENVIRONMENT_ERROR)
        return dict(self.states)

    def forgotten(self, _name: str, _index: int, _number: str) -> None:
        return None

    def exit_code(self, _job: Job) -> str:
        return self.code

    def set_state(self, folder: Path, state: str) -> None:
        place = folder.name.rpartition('-')
        key = place[0], int(place[2])
        self.states[key] = replace(self.states[key], state=state)


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch):
    monkeypatch.setattr(followed_task, '_SETTLE_SECONDS', 0.)
    monkeypatch.setattr('lth.experiments.executors.slurm.session._SECONDS_BETWEEN_READS', 0.)


def make_task(run: Path, seed: int = 0, **recipe: object) -> Task:
    return Task({'source': 'here', **recipe}, RunTarget(run, run.parent), (seed,), {}, f'seed {seed}')


def open_session(jobs: FakeJobs, array_size: int = 10) -> SlurmSession:
    return SlurmSession(jobs, array_size, poll_seconds=0)


def start(jobs: FakeJobs, *tasks: Task, array_size: int = 10):
    """The events of a session with these tasks, after they were submitted."""

    session = open_session(jobs, array_size)
    for task in tasks:
        session.submit(task)
    events = session.events()
    first = next(events)[1]
    assert isinstance(first, str) and first.startswith('Submitted')
    return events


def test_tasks_that_are_submitted_together_become_one_array_with_a_folder_in_each_run(tmp_path):
    jobs = FakeJobs()
    start(jobs, make_task(tmp_path / 'a'), make_task(tmp_path / 'a', 1), make_task(tmp_path / 'b'))
    assert [folder.parent for folder in jobs.arrays[0]] == [tmp_path / 'a/slurm'] * 2 + [tmp_path / 'b/slurm']
    assert all((folder / 'task.json').exists() for folder in jobs.arrays[0]) and len(jobs.arrays) == 1


def test_arrays_have_at_most_array_size_jobs(tmp_path):
    jobs = FakeJobs()
    events = start(jobs, *(make_task(tmp_path / 'a', seed) for seed in range(5)), array_size=2)
    next(events), next(events)
    assert [len(array) for array in jobs.arrays] == [2, 2, 1]


def test_progress_notes_and_the_end_of_a_task_are_followed(tmp_path):
    jobs = FakeJobs()
    events = start(jobs, make_task(tmp_path / 'a'))
    writer = EventWriter(jobs.arrays[0][0] / 'events.jsonl')
    writer.write(TaskEvent(kind='start', job='1_0', host='node5'))
    writer.message('A note.')
    progress = SeedProgress((0,), 1, 20, (0.5,), (0.25,))
    writer.progress(progress)
    writer.round_saved(progress._replace(saved=True))
    writer.write(TaskEvent(kind='end'))
    assert [event for _, event in events] == ['A note.', progress, progress._replace(saved=True), Ended()]


def test_a_note_that_each_task_has_is_reported_once(tmp_path):
    jobs = FakeJobs()
    events = start(jobs, make_task(tmp_path / 'a'), make_task(tmp_path / 'a', 1))
    for folder in jobs.arrays[0]:
        writer = EventWriter(folder / 'events.jsonl')
        writer.message('Engine: eager.')
        writer.write(TaskEvent(kind='end'))
    assert [event for _, event in events] == ['Engine: eager.', Ended(), Ended()]


def test_progress_of_several_seeds_is_reported_for_those_that_are_followed(tmp_path):
    jobs = FakeJobs()
    events = start(jobs, make_task(tmp_path / 'a', 1))
    EventWriter(jobs.arrays[0][0] / 'events.jsonl').progress(SeedProgress((0, 1, 2), 1, 20, (), (0.1, 0.2, 0.3)))
    assert next(events)[1] == SeedProgress((1,), 1, 20, (), (0.2,))


def test_the_error_of_a_task_ends_only_this_task(tmp_path):
    jobs = FakeJobs()
    events = start(jobs, make_task(tmp_path / 'a'), make_task(tmp_path / 'a', 1))
    failures = [StoredFailure(message='Data are missing.', exit_code=2), None]
    for folder, failure in zip(jobs.arrays[0], failures, strict=True):
        EventWriter(folder / 'events.jsonl').write(TaskEvent(kind='end', failure=failure))
    ends = {task.seeds: event.error for task, event in events}
    assert str(ends[0,]) == 'Data are missing.' and ends[1,] is None


def test_a_bug_in_a_task_names_the_log_with_its_traceback(tmp_path):
    jobs = FakeJobs()
    events = start(jobs, make_task(tmp_path / 'a'))
    writer = EventWriter(jobs.arrays[0][0] / 'events.jsonl')
    writer.write(TaskEvent(kind='start', job='1_0', host='node5'))
    writer.write(TaskEvent(kind='end', failure=StoredFailure(message='', exit_code=70, is_bug=True)))
    error = next(events)[1].error
    assert isinstance(error, RuntimeError) and '1_0_0_log.out' in str(error) and 'node5' in str(error)


@pytest.mark.parametrize(('state', 'code', 'log', 'reason'), [
    ('OUT_OF_MEMORY', '0:125', '', 'Slurm job 1_0 ran out of memory'),
    ('FAILED', '137:0', 'slurmstepd: error: Exceeded job memory limit', 'Slurm job 1_0 ran out of memory'),
    ('FAILED', '137:0', '', 'killed, probably as its memory ran out'),
    ('FAILED', '127:0', 'python: not found', 'ends with: python: not found'),
    ('CANCELLED', '0:15', '', 'Slurm job 1_0 was cancelled'),
    ('TIMEOUT', '0:0', '', 'reached its time limit before anything was saved')])
def test_a_job_that_ends_without_a_word_fails_its_task_with_the_reason(tmp_path, state, code, log, reason):
    jobs = FakeJobs(code=code)
    events = start(jobs, make_task(tmp_path / 'a'))
    jobs.set_state(jobs.arrays[0][0], state)
    (files,) = (tmp_path / 'a/slurm').glob('lth-????????')
    (files / '1_0_0_log.out').write_text(log)
    error = next(events)[1].error
    assert reason in str(error) and str(error).startswith('seed 0: ') and error.exit_code == ENVIRONMENT_ERROR
    assert 'run the same command again to resume' in str(error)


@pytest.mark.parametrize(('state', 'code'), [('PREEMPTED', ''), ('NODE_FAIL', ''), ('FAILED', '143:0')])
def test_a_job_that_slurm_ends_is_submitted_again_three_times_at_most(tmp_path, state, code):
    jobs = FakeJobs(code=code)
    events = start(jobs, make_task(tmp_path / 'a'))
    for number in range(1, 4):
        assert len(jobs.arrays) == number
        jobs.set_state(jobs.arrays[-1][0], state)
        assert 'Slurm ended job' in next(events)[1]
        last = next(events)[1]
    assert 'ended its jobs 3 times' in str(last.error) and list(events) == []


def test_a_job_at_its_time_limit_is_submitted_again_if_it_has_saved_something(tmp_path):
    jobs = FakeJobs()
    events = start(jobs, make_task(tmp_path / 'a'))
    EventWriter(jobs.arrays[0][0] / 'events.jsonl').progress(SeedProgress((0,), 1, 20, checkpoint=True))
    assert next(events)[1].checkpoint
    jobs.set_state(jobs.arrays[0][0], 'TIMEOUT')
    assert 'TIMEOUT' in next(events)[1] and next(events)[1].startswith('Submitted')


def test_a_task_in_the_queue_is_followed_and_not_submitted_twice(tmp_path):
    jobs, task = FakeJobs(), make_task(tmp_path / 'a')
    start(jobs, task)  # and this command was killed
    session = open_session(jobs)
    session.submit(make_task(tmp_path / 'a'))
    events = session.events()
    assert 'Slurm job 1_0 is in the queue already' in next(events)[1] and len(jobs.arrays) == 1
    EventWriter(jobs.arrays[0][0] / 'events.jsonl').write(TaskEvent(kind='end'))
    assert next(events)[1] == Ended()


def test_a_task_whose_job_has_ended_is_submitted_again(tmp_path):
    jobs = FakeJobs()
    start(jobs, make_task(tmp_path / 'a'))
    jobs.set_state(jobs.arrays[0][0], 'CANCELLED')
    start(jobs, make_task(tmp_path / 'a'))
    assert len(jobs.arrays) == 2


def test_a_queued_task_with_another_recipe_is_refused(tmp_path):
    jobs = FakeJobs()
    start(jobs, make_task(tmp_path / 'a', model='x'))
    session = open_session(jobs)
    session.submit(make_task(tmp_path / 'a', model='y'))
    error = next(session.events())[1].error
    assert 'Slurm job 1_0 is in the queue' in str(error) and 'scancel 1_0' in str(error)


def test_a_task_of_another_version_of_lth_is_refused_with_both_versions(tmp_path, monkeypatch):
    jobs = FakeJobs()
    start(jobs, make_task(tmp_path / 'a'))
    monkeypatch.setattr(task_file, '__version__', '9.9.9')
    with pytest.raises(LthError, match=f'submitted by lth {lth.__version__}, and this is lth 9.9.9'):
        task_file.TaskFolder(jobs.arrays[0][0]).stored()


def test_a_queue_that_does_not_answer_for_a_while_is_noted_once(tmp_path):
    jobs = FakeJobs()
    events = start(jobs, make_task(tmp_path / 'a'))
    jobs.answers = False
    assert 'followed by their files' in next(events)[1]
    EventWriter(jobs.arrays[0][0] / 'events.jsonl').write(TaskEvent(kind='end'))
    assert [event for _, event in events] == [Ended()]


def test_jobs_that_are_refused_leave_no_files(tmp_path, monkeypatch):
    jobs = FakeJobs()

    def refuse(*_):
        raise LthError('Slurm refused the jobs.')
    monkeypatch.setattr(jobs, 'submit', refuse)
    session = open_session(jobs)
    session.submit(make_task(tmp_path / 'a'))
    with pytest.raises(LthError, match='refused'):
        next(session.events())
    assert list(tmp_path.iterdir()) == []


def test_lines_that_a_killed_process_left_incomplete_are_skipped(tmp_path):
    path = tmp_path / 'events.jsonl'
    path.write_bytes(b'{"kind": "note", "text": "one"}\n{"kind": "no')
    reader = EventReader(path)
    assert [event.text for event in reader.read()] == ['one']
    EventWriter(path).write(TaskEvent(kind='start', host='node5'))
    assert [event.kind for event in reader.read()] == ['start'] and reader.read() == []
