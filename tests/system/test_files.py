"""Atomic writing, and strict JSON."""
import errno
import os
import subprocess
from pathlib import Path

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
