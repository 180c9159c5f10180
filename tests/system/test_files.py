"""Atomic writing, and strict YAML and JSON."""
import errno
import os
import subprocess
from pathlib import Path

import pytest

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.system import files


def test_scientific_notation_without_a_point_is_a_number():
    assert files.parse_yaml('[1e-3, 2E+4, -1.5e-2, "1e-3"]', 'here') == [0.001, 20000., -0.015, '1e-3']


def test_a_duplicate_yaml_key_is_an_error(tmp_path):
    (tmp_path / 'x.yaml').write_text('a: 1\na: 2\n')
    with pytest.raises(LthError, match="'a' is given twice"):
        files.read_yaml(tmp_path / 'x.yaml')


@pytest.mark.parametrize('text', ['- 1\n', 'just words', 'a: [1', '\x00'])
def test_yaml_that_is_not_a_mapping_is_an_error_with_the_path(tmp_path, text):
    (tmp_path / 'x.yaml').write_text(text)
    with pytest.raises(LthError, match='x.yaml'):
        files.read_yaml(tmp_path / 'x.yaml')


@pytest.mark.parametrize('text', [
    'a: &a [*a]', 'a: &a {b: *a}', 'a: ' + '[' * 40 + ']' * 40, 'a: ' + '[' * 5000, 'a: "' + 'x' * 2 ** 18 + '"',
    'l0: &l0 [1]\n' + ''.join(f'l{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n' for n in range(1, 29)),
    'a:\n  - x\n' + '  - 1\n' * 50_001, 'b' * 100_000 + ': 1\n' + 'b' * 100_000 + ': 2\n'])
def test_yaml_that_is_too_large_or_nested_too_deep_is_refused_in_a_short_message(tmp_path, text):
    (tmp_path / 'x.yaml').write_text(text)
    with pytest.raises(LthError, match='x.yaml') as caught:
        files.read_yaml(tmp_path / 'x.yaml')
    assert len(str(caught.value)) < 500


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
