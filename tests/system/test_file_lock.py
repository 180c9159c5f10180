"""The lock of a folder: one writer at a time."""
import contextlib
import errno
import fcntl
import os
import socket
import subprocess
import sys
from functools import partial

import pytest

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.system import file_lock

hold = partial(file_lock.hold, remedy='Wait.')
HOLD = '''
import pathlib, sys, time
from lth.system import file_lock
with file_lock.hold(pathlib.Path(sys.argv[1]) / 'lock', 'Wait.'):
    print('held', flush=True)
    time.sleep(60)
'''


def test_a_second_writer_gets_an_error_that_names_the_holder_and_a_killed_holder_releases_the_lock(tmp_path):
    lock = tmp_path / 'run' / 'lock'
    with subprocess.Popen([sys.executable, '-c', HOLD, tmp_path / 'run'], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b'held\n'
        words = f'process {holder.pid} on {socket.gethostname()} (-c {tmp_path / "run"})'
        with pytest.raises(LthError) as caught, hold(lock):
            pass
        assert str(caught.value) == f'{tmp_path / "run"} is being written by {words}. Wait.'
        assert caught.value.exit_code == ENVIRONMENT_ERROR
        assert file_lock.holder(lock) == words
        holder.kill()
    assert lock.exists() and file_lock.holder(lock) is None
    with hold(lock):
        assert lock.exists()
    assert not lock.exists() and file_lock.holder(lock) is None


def test_folders_created_for_a_lock_are_removed_if_they_stay_empty(tmp_path):
    with hold(tmp_path / 'runs' / 'one' / 'lock'):
        pass
    assert not list(tmp_path.iterdir())


def test_the_error_for_a_folder_that_cannot_be_created_names_it(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(LthError, match='Cannot write .*file/run'), hold(tmp_path / 'file' / 'run' / 'lock'):
        pass


def test_a_short_lock_is_waited_for(tmp_path, monkeypatch):
    lock, pauses = tmp_path / 'lock', []
    other = contextlib.ExitStack()
    other.enter_context(hold(lock))
    monkeypatch.setattr(file_lock.time, 'sleep', lambda seconds: pauses.append(seconds) or other.close())
    with file_lock.hold_briefly(lock):
        assert len(pauses) == 1


def test_a_lock_is_not_taken_for_held_because_somebody_looks_at_it(tmp_path, monkeypatch):
    lock = tmp_path / 'lock'
    lock.write_text('')
    with open(lock, encoding='utf-8') as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(file_lock.time, 'sleep', lambda _seconds: fcntl.flock(looking, fcntl.LOCK_UN))
        with hold(lock):
            pass


def test_a_file_system_without_locks_is_an_error_of_the_environment(tmp_path, monkeypatch):
    def flock(*_arguments):
        raise OSError(errno.ENOLCK, 'No locks available')
    monkeypatch.setattr(file_lock.fcntl, 'flock', flock)
    with pytest.raises(LthError, match='Cannot lock .*lock: No locks available.*local disk') as caught, hold(
            tmp_path / 'lock'):
        pass
    assert caught.value.exit_code == ENVIRONMENT_ERROR and file_lock.holder(tmp_path / 'lock') is None


@pytest.mark.parametrize('content', ['', '[1]', '{"process": 1', '{"process": 1, "host": 2, "command": 3}', '[' * 5000])
def test_a_lock_file_with_other_content_has_an_unknown_holder(tmp_path, content):
    lock = tmp_path / 'lock'
    with hold(lock):
        lock.write_text(content)
        assert file_lock.holder(lock) == 'another process'


def test_a_fifo_in_place_of_the_lock_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / 'lock')
    with pytest.raises(LthError, match='lock is not a regular file'), hold(tmp_path / 'lock'):
        pass
