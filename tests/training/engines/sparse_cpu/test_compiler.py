"""The cache of machine code: used until a source file changes, and not required."""
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from lth.training.engines.sparse_cpu.kernels import compiler

KERNEL = '''
from compiler import compiled
from constant import CONSTANT

@compiled
def add(number):
    return number + CONSTANT

print(add(1), sum(add.stats.cache_hits.values()))
'''


def result_and_cache_hits(folder: Path) -> list[int]:
    """What a new process computes with the kernel, and how often it took machine code from the cache."""

    done = subprocess.run([sys.executable, 'kernel.py'], cwd=folder, capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.fixture
def kernel_folder(tmp_path: Path) -> Path:
    """A folder with a kernel that imports a constant from another file, compiled as our kernels are."""

    shutil.copy(compiler.__file__, tmp_path / 'compiler.py')
    (tmp_path / 'kernel.py').write_text(KERNEL)
    (tmp_path / 'constant.py').write_text('CONSTANT = 10\n')
    return tmp_path


def test_cached_machine_code_is_used_until_an_imported_file_changes(kernel_folder):
    assert result_and_cache_hits(kernel_folder) == [11, 0]
    assert result_and_cache_hits(kernel_folder) == [11, 1]
    (kernel_folder / 'constant.py').write_text('CONSTANT = 2000\n')
    assert result_and_cache_hits(kernel_folder) == [2001, 0]


def test_digest_depends_on_names_and_text_of_all_source_files(tmp_path):
    digests = set()
    for name, text in (('a.py', 'x'), ('b.py', 'x'), ('b.py', 'y'), ('notes.txt', 'not a source')):
        (tmp_path / name).write_text(text)
        digests.add(compiler._digest(tmp_path))  # pylint: disable=protected-access
    assert len(digests) == 3


def test_kernels_compile_without_a_folder_for_the_cache(monkeypatch):
    compile_ = numba.njit

    def refuse(*function, cache: bool = False, **options):
        if cache:
            raise RuntimeError('cannot cache function: no locator available for file')
        return compile_(*function, **options)

    monkeypatch.setattr(numba, 'njit', refuse)
    assert compiler.compiled(lambda number: number + 1)(1) == 2
