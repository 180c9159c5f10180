"""The lock of a folder: one writer at a time."""
import subprocess
import sys

import pytest

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.system import file_lock

HOLD = '''
import pathlib, sys, time
from lth.system import file_lock
with file_lock.hold(pathlib.Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(60)
'''


def test_a_second_writer_gets_an_error_that_names_the_holder_and_a_killed_holder_releases_the_lock(tmp_path):
    with subprocess.Popen([sys.executable, '-c', HOLD, tmp_path / 'run'], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b'held\n'
        message = f'run is being written by .*"process": {holder.pid}'
        with pytest.raises(LthError, match=message) as caught, file_lock.hold(tmp_path / 'run'):
            pass
        assert caught.value.exit_code == ENVIRONMENT_ERROR
        holder.kill()
    with file_lock.hold(tmp_path / 'run'):
        assert (tmp_path / 'run' / '.lock').exists()


def test_folders_created_for_a_lock_are_removed_if_they_stay_empty(tmp_path):
    with file_lock.hold(tmp_path / 'runs' / 'one'):
        pass
    assert not list(tmp_path.iterdir())


def test_the_error_for_a_folder_that_cannot_be_created_names_it(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(LthError, match='Cannot write .*file/run'), file_lock.hold(tmp_path / 'file' / 'run'):
        pass
