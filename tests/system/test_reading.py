"""Files that are read once: other kinds than files, sizes, and the words of the operating system."""
import errno
import os
import socket
from pathlib import Path

import pytest

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError
from lth.system.reading import read_bytes


def test_a_file_of_the_expected_size_is_read(tmp_path):
    (tmp_path / 'f').write_bytes(b'abc')
    assert read_bytes(tmp_path / 'f', at_most=3) == b'abc'


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
