"""Jobs in worker processes."""
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError
from lth.system import processes


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
    processes.run_in_parallel(_send_twice, [(1,), (2,), (3,)], 2, messages.append)
    assert sorted(messages) == [1, 2, 3, 10, 20, 30]
    assert all(messages.index(number) < messages.index(10 * number) for number in (1, 2, 3))


@pytest.mark.parametrize('exit_code', [USER_ERROR, ENVIRONMENT_ERROR])
def test_an_error_of_a_worker_is_raised_in_the_parent_with_its_exit_code(exit_code):
    with pytest.raises(LthError, match='^the reason$') as caught:
        processes.run_in_parallel(_raise, [(exit_code,)], 1, print)
    assert caught.value.exit_code == exit_code


def test_a_worker_killed_by_the_system_is_an_environment_error():
    with pytest.raises(LthError, match='of job 0 was killed by signal 9; probably memory ran out') as caught:
        processes.run_in_parallel(_kill_itself, [()], 1, print)
    assert caught.value.exit_code == ENVIRONMENT_ERROR


@pytest.mark.parametrize('exit_code', [0, 5])
def test_a_worker_that_ends_before_its_job_is_done_is_an_error_with_its_name_and_exit_code(exit_code):
    with pytest.raises(LthError, match=f'of seed 3 ended with exit code {exit_code} before') as caught:
        processes.run_in_parallel(_exit, [(exit_code,)], 1, print, names=['seed 3'])
    assert caught.value.exit_code == USER_ERROR


def test_a_worker_with_a_bug_prints_its_traceback(capfd):
    with pytest.raises(RuntimeError, match='the worker process of seed 3 failed'):
        processes.run_in_parallel(_divide_by_zero, [()], 1, print, names=['seed 3'])
    assert 'ZeroDivisionError' in capfd.readouterr().err


def test_there_is_at_least_one_slot_even_if_a_process_has_more_threads_than_cores():
    assert processes.available_slots(10_000) == 1
    assert processes.available_slots(1) >= 1


def test_killing_a_process_group_ends_the_children_of_its_leader(tmp_path):
    file = tmp_path / 'child'
    process = processes.start_process_group(_start_child, str(file))
    while not file.exists() or not file.read_text():
        assert process.is_alive()
    processes.kill_process_group(process)
    child = int(file.read_text())
    for _ in range(500):
        state = Path(f'/proc/{child}/stat')
        if not state.exists() or state.read_text().split()[2] == 'Z':
            return
        threading.Event().wait(0.01)
    pytest.fail('the child is still running')


def _start_child(file: str) -> None:
    with subprocess.Popen(['sleep', '60']) as child:
        Path(file).write_text(str(child.pid))
