"""One writer at a time."""
import subprocess
import sys

import pytest

from lth.errors import LthError
from lth.system import file_lock

HOLD = '''
import pathlib, sys, time
from lth.system import file_lock
with file_lock.hold(pathlib.Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(60)
'''


def test_a_second_writer_is_told_who_holds_the_folder_and_a_killed_holder_holds_nothing(tmp_path):
    with subprocess.Popen([sys.executable, '-c', HOLD, tmp_path / 'run'], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b'held\n'
        says = f'is being written by .*"process": {holder.pid}'
        with pytest.raises(LthError, match=says), file_lock.hold(tmp_path / 'run'):
            pass
        holder.kill()
    with file_lock.hold(tmp_path / 'run'):
        assert (tmp_path / 'run' / '.lock').exists()


def test_a_folder_in_which_nothing_was_put_leaves_no_trace(tmp_path):
    with file_lock.hold(tmp_path / 'runs' / 'one'):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(LthError, match='Cannot write .*file/run'), file_lock.hold(tmp_path / 'file' / 'run'):
        pass
