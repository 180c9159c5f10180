"""Files that are read once: other kinds than files, sizes, and the words of the operating system."""
import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError
from lth.system.reading import read_bytes


def test_a_file_of_the_expected_size_is_read(tmp_path):
    (tmp_path / 'f').write_bytes(b'abc')
    assert read_bytes(tmp_path / 'f', at_most=3) == b'abc'


def test_a_limit_far_above_the_memory_costs_nothing(tmp_path):
    (tmp_path / 'f').write_bytes(b'abc')
    assert read_bytes(tmp_path / 'f', at_most=2 ** 60) == b'abc'


def test_a_file_that_grows_while_it_is_read_is_read_up_to_the_limit(tmp_path, monkeypatch):
    (tmp_path / 'f').write_bytes(b'abcdef')
    size = os.stat_result((stat.S_IFREG, *[0] * 5, 2, *[0] * 3))
    monkeypatch.setattr(os, 'fstat', lambda _file: size)
    assert read_bytes(tmp_path / 'f', at_most=6) == b'abcdef'
    with pytest.raises(LthError, match='at most 5 are expected'):
        read_bytes(tmp_path / 'f', at_most=5)


def test_a_folder_a_pipe_a_socket_and_a_device_are_refused_without_waiting(tmp_path):
    (tmp_path / 'folder').mkdir()
    os.mkfifo(tmp_path / 'pipe')
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / 'socket'))
        (tmp_path / 'device').symlink_to('/dev/zero')
        for name, kind in (('folder', 'a folder'), ('pipe', 'a named pipe'), ('socket', 'a socket'),
                           ('device', 'a device')):
            with pytest.raises(LthError, match=f'{name} is {kind}, not a file. ADVICE'):
                read_bytes(tmp_path / name, at_most=10, advice='ADVICE')


def test_a_pipe_that_replaces_the_file_after_the_check_is_refused_too(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'file').write_bytes(b'')
    status = os.stat(tmp_path / 'file')
    monkeypatch.setattr(os, 'stat', lambda *_, **__: status)
    with pytest.raises(LthError, match='pipe is a named pipe'):
        read_bytes(tmp_path / 'pipe', at_most=10)


@pytest.mark.parametrize(('number', 'code'), [
    (errno.EACCES, ENVIRONMENT_ERROR), (errno.ENOENT, USER_ERROR), (errno.EIO, ENVIRONMENT_ERROR),
    (errno.EMFILE, ENVIRONMENT_ERROR)])
def test_an_error_has_the_words_of_the_operating_system_and_advice_to_delete_only_where_it_helps(
        tmp_path, monkeypatch, number, code):
    def fail(*_arguments):
        raise OSError(number, os.strerror(number))
    (tmp_path / 'f').write_bytes(b'')
    monkeypatch.setattr(os, 'open', fail)
    with pytest.raises(LthError, match=os.strerror(number)) as caught:
        read_bytes(tmp_path / 'f', at_most=1, advice='ADVICE')
    assert caught.value.exit_code == code
    assert ('ADVICE' in str(caught.value)) == (number == errno.ENOENT)


def test_a_path_with_a_null_character_is_an_error():
    with pytest.raises(LthError, match='Cannot read'):
        read_bytes(Path('a\0b'), at_most=1)
