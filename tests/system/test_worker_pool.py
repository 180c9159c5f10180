"""Jobs of a pool of worker processes."""
import os
import signal

import pytest

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError
from lth.system import pool_worker, worker_pool
from lth.system.pool_worker import JobEnd
from lth.system.worker_pool import WorkerPool


def _send_twice(number, send):
    send(number)
    send(10 * number)


def _raise(exit_code, _send):
    raise LthError('the reason', exit_code=exit_code)


def _exit(exit_code, _send):
    os._exit(exit_code)


def _divide_by_zero(_send):
    print(1 / 0)


def _kill_itself(_send):
    os.kill(os.getpid(), signal.SIGKILL)


def test_parallel_jobs_run_in_other_processes_and_their_messages_arrive_in_order():
    messages = []
    worker_pool.run_in_parallel(_send_twice, [(1,), (2,), (3,)], 2, messages.append)
    assert sorted(messages) == [1, 2, 3, 10, 20, 30]
    assert all(messages.index(number) < messages.index(10 * number) for number in (1, 2, 3))


@pytest.mark.parametrize('exit_code', [USER_ERROR, ENVIRONMENT_ERROR])
def test_an_error_of_a_worker_is_raised_in_the_parent_with_its_exit_code(exit_code):
    with pytest.raises(LthError, match='^the reason$') as caught:
        worker_pool.run_in_parallel(_raise, [(exit_code,)], 1, print)
    assert caught.value.exit_code == exit_code


def test_a_worker_killed_by_the_system_is_an_environment_error():
    with pytest.raises(LthError, match='of job 0 was killed by signal 9; probably memory ran out') as caught:
        worker_pool.run_in_parallel(_kill_itself, [()], 1, print)
    assert caught.value.exit_code == ENVIRONMENT_ERROR


@pytest.mark.parametrize('exit_code', [0, 5])
def test_a_worker_that_ends_before_its_job_is_done_is_an_error_with_its_name_and_exit_code(exit_code):
    with pytest.raises(LthError, match=f'of seed 3 ended with exit code {exit_code} before') as caught:
        worker_pool.run_in_parallel(_exit, [(exit_code,)], 1, print, names=['seed 3'])
    assert caught.value.exit_code == USER_ERROR


def test_a_worker_with_a_bug_prints_its_traceback(capfd):
    with pytest.raises(RuntimeError, match='the worker process of seed 3 failed'):
        worker_pool.run_in_parallel(_divide_by_zero, [()], 1, print, names=['seed 3'])
    assert 'ZeroDivisionError' in capfd.readouterr().err


def _send_process(what, send):
    if what == 'fail':
        raise LthError('the reason')
    send(os.getpid())


def test_a_process_does_one_job_after_another_and_a_job_that_fails_leaves_the_others():
    with WorkerPool[str](_send_process, 1) as pool:
        for name in ('first', 'second', 'fail'):
            pool.submit(name, (name,), name)
        events = []
        for key, event in pool.events():
            events.append((key, event))
            if key == 'fail':
                pool.submit('last', ('last',), 'last')
    sent = {key: event for key, event in events if isinstance(event, int)}
    ends = {key: event for key, event in events if isinstance(event, JobEnd)}
    assert sent['first'] == sent['second'] != sent['last']
    assert str(ends['fail'].error) == 'the reason'
    assert [key for key, end in ends.items() if end.error is None] == ['first', 'second', 'last']


def _send_slot(send):
    send(pool_worker.slot())


def test_workers_have_slots_of_their_own():
    with WorkerPool[int](_send_slot, 2) as pool:
        for number in range(2):
            pool.submit(number, (), 'job')
        slots = [event for _, event in pool.events() if isinstance(event, int)]
    assert sorted(slots) == [0, 1]


def _change_folder(send):
    send(os.getcwd())
    os.chdir('/')


def test_each_job_starts_in_the_folder_of_the_command():
    with WorkerPool[int](_change_folder, 1) as pool:
        for number in range(2):
            pool.submit(number, (), 'job')
        assert [event for _, event in pool.events() if isinstance(event, str)] == [os.getcwd()] * 2


def _close_pipes(_send):
    os.closerange(3, os.sysconf('SC_OPEN_MAX'))


def test_a_job_that_closes_its_pipe_fails_without_a_traceback(capfd):
    with WorkerPool[int](_close_pipes, 1) as pool:
        pool.submit(0, (), 'seed 3')
        (_, end), = [event for event in pool.events() if isinstance(event[1], JobEnd)]
    assert 'The worker process of seed 3 ended' in str(end.error) and 'Traceback' not in capfd.readouterr().err
