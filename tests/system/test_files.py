"""Atomic writing, and strict JSON."""
import errno
import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.system import files


def test_a_folder_that_cannot_be_written_completely_is_removed(tmp_path, monkeypatch):
    calls = []

    def fail_at_third(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', fail_at_third)
    with pytest.raises(LthError, match='round-03.*No space left on device. Free some space') as caught:
        files.write_folder(tmp_path / 'round-03', {name: b'x' for name in 'abcd'})
    assert not list(tmp_path.iterdir())
    assert caught.value.exit_code == ENVIRONMENT_ERROR


def test_a_full_disk_has_only_complete_folders(tmp_path):
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(tmp_path)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip('mounting a small disk needs root; the test above covers a failing write without it')
    try:
        files.write_folder(tmp_path / 'round-00', {'a': b'x' * 4096})
        with pytest.raises(LthError, match='No space left on device'):
            files.write_folder(tmp_path / 'round-01', {'a': b'x' * 4096, 'b': b'x' * 100_000})
        assert [path.name for path in tmp_path.iterdir()] == ['round-00']
    finally:
        subprocess.run(['umount', str(tmp_path)], check=True)


def test_a_partial_folder_left_by_a_crash_is_replaced(tmp_path):
    (tmp_path / 'round-00.partial').mkdir()
    (tmp_path / 'round-00.partial' / 'old').write_bytes(b'?')
    files.write_folder(tmp_path / 'round-00', {'a': b'1'})
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob('*')) == [Path('round-00'), Path('round-00/a')]


def test_an_incomplete_file_of_a_killed_process_is_removed_when_the_file_is_written(tmp_path):
    (tmp_path / 'pair.json.20757.partial').write_bytes(b'{"errors')
    (tmp_path / 'other.json.20757.partial').write_bytes(b'{')
    files.write(tmp_path / 'pair.json', b'{}')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['other.json.20757.partial', 'pair.json']


def test_an_incomplete_file_that_another_process_is_writing_is_left_alone(tmp_path):
    script = ('import sys; from pathlib import Path; from lth.system import files\n'
              'with files.open_atomically(Path("pair.json")) as file:\n'
              '    file.write(b"theirs"); print("writing", flush=True); sys.stdin.readline()\n')
    with subprocess.Popen([sys.executable, '-c', script], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=os.environ | {'PYTHONPATH': str(Path(__file__).parents[2])}) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == b'writing\n'
        files.write(tmp_path / 'pair.json', b'ours')
        assert (tmp_path / 'pair.json').read_bytes() == b'ours'
        other.communicate(b'\n')
    assert other.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ['pair.json']
    assert (tmp_path / 'pair.json').read_bytes() == b'theirs'


def test_an_incomplete_file_is_created_again_if_it_was_removed_before_it_was_locked(tmp_path, monkeypatch):
    lock, calls = fcntl.flock, []

    def remove_first(file: BinaryIO, operation: int) -> None:
        if not calls:
            Path(file.name).unlink()
        calls.append(operation)
        lock(file, operation)
    monkeypatch.setattr(fcntl, 'flock', remove_first)
    files.write(tmp_path / 'pair.json', b'ours')
    assert len(calls) == 2 and (tmp_path / 'pair.json').read_bytes() == b'ours'


def test_files_are_written_where_the_file_system_has_no_locks(tmp_path, monkeypatch):
    def fail(_file: BinaryIO, _operation: int) -> None:
        raise OSError(errno.ENOLCK, 'No locks available')
    monkeypatch.setattr(fcntl, 'flock', fail)
    (tmp_path / 'pair.json.20757.partial').write_bytes(b'theirs')
    files.write(tmp_path / 'pair.json', b'ours')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['pair.json', 'pair.json.20757.partial']


def test_threads_that_write_one_file_at_the_same_time_never_show_an_incomplete_one(tmp_path):
    path, contents = tmp_path / 'pair.json', [letter * 5000 for letter in (b'a', b'b', b'c', b'd')]

    def write_and_read(content: bytes) -> set[bytes]:
        seen = set()
        for _ in range(25):
            files.write(path, content)
            seen.add(path.read_bytes())
        return seen
    with ThreadPoolExecutor(len(contents)) as pool:
        seen = set().union(*pool.map(write_and_read, contents))
    assert seen <= set(contents)
    assert [other.name for other in tmp_path.iterdir()] == ['pair.json']


def test_files_of_the_user_that_are_named_like_incomplete_ones_are_left_alone(tmp_path):
    names = ['pair.json.copy.partial', 'pair.json.partial', 'pair.json.a.12.partial', 'pair[1].json.12.partial']
    for name in names:
        (tmp_path / name).write_bytes(b'of the user')
    (tmp_path / 'pair.json.13.partial').mkdir()
    os.mkfifo(tmp_path / 'pair.json.14.partial')
    files.write(tmp_path / 'pair.json', b'ours')
    assert {path.name for path in tmp_path.iterdir()} == {
        'pair.json', 'pair.json.13.partial', 'pair.json.14.partial', *names}
