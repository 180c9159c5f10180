"""Facts about the machine and the checkout."""
import ctypes
import importlib.metadata
import os
import subprocess
from pathlib import Path

import pytest

from lth.system import environment as facts_of_machine
from lth.system.environment import environment, git_commit

IDENTITY = ('-c', 'user.name=a', '-c', 'user.email=a@b')


def git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(['git', *IDENTITY, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / 'repository'
    folder.mkdir()
    git(folder, 'init', '-q', '-b', 'feature/x')
    git(folder, 'commit', '-q', '--allow-empty', '-m', 'first')
    return folder


def test_the_commit_is_that_of_git_on_a_branch_detached_packed_and_in_another_work_tree(repository, tmp_path):
    first = git(repository, 'rev-parse', 'HEAD')
    (repository / 'below').mkdir()
    assert git_commit(repository) == git_commit(repository / 'below') == first
    git(repository, 'worktree', 'add', '-q', '-b', 'other', str(tmp_path / 'tree'))
    git(tmp_path / 'tree', 'commit', '-q', '--allow-empty', '-m', 'second')
    second = git(tmp_path / 'tree', 'rev-parse', 'HEAD')
    assert git_commit(tmp_path / 'tree') == second != first and git_commit(repository) == first
    git(repository, 'pack-refs', '--all')
    assert git_commit(repository) == first and git_commit(tmp_path / 'tree') == second
    git(repository, 'checkout', '-q', '--detach')
    assert git_commit(repository) == first


@pytest.mark.parametrize('damage', [
    lambda git_folder: (git_folder / 'HEAD').unlink(), lambda git_folder: (git_folder / 'HEAD').write_text('x'),
    lambda git_folder: ((git_folder / 'HEAD').unlink(), os.mkfifo(git_folder / 'HEAD')),
    lambda git_folder: (git_folder / 'HEAD').write_text('ref: refs/heads/none')])
def test_a_repository_that_cannot_be_read_has_no_commit(repository, damage):
    damage(repository / '.git')
    assert git_commit(repository) is None


def test_a_folder_without_a_repository_has_no_commit(tmp_path):
    assert git_commit(tmp_path) is None


def test_the_environment_names_packages_processor_and_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    facts = environment()
    assert facts['packages']['numba'] == importlib.metadata.version('numba')
    assert {'torch', 'torchvision', 'numpy', 'scipy', 'scikit-learn', 'pydantic', 'safetensors', 'pillow'} <= {
        *facts['packages']}
    assert facts['cpu'] and facts['cores'] >= 1 and facts['memory_mib'] > 100 and facts['directory_commit'] is None


class MacLibrary:
    """The function of the C library of macOS that names the processor."""

    @staticmethod
    def sysctlbyname(name, text, size, new, _new_size):
        if name != b'machdep.cpu.brand_string' or new is not None:
            return -1
        value = b'Apple M9'
        ctypes.memmove(text, value, len(value))
        size._obj.value = len(value)  # pylint: disable=protected-access
        return 0


def test_the_processor_of_a_mac_is_named_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(facts_of_machine, '_CPU_INFO', tmp_path / 'none')
    monkeypatch.setattr(ctypes, 'CDLL', lambda _name: MacLibrary)
    assert environment()['cpu'] == 'Apple M9'


def test_a_processor_that_no_file_names_has_the_name_of_its_architecture(monkeypatch, tmp_path):
    (tmp_path / 'cpuinfo').write_text('processor : 0\nCPU part : 0xd0c\n')  # as on ARM
    monkeypatch.setattr(facts_of_machine, '_CPU_INFO', tmp_path / 'cpuinfo')
    monkeypatch.setattr(ctypes, 'CDLL', lambda _name: object())
    monkeypatch.setattr('platform.processor', lambda: '')
    monkeypatch.setattr('platform.machine', lambda: 'aarch64')
    assert environment()['cpu'] == 'aarch64'


def test_cores_are_counted_on_systems_without_affinity(monkeypatch):
    monkeypatch.delattr(os, 'sched_getaffinity', raising=False)
    monkeypatch.setattr(os, 'cpu_count', lambda: 10)
    assert facts_of_machine.core_count() == 10
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    assert facts_of_machine.core_count() == 1
