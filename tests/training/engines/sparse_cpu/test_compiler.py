"""The cache of machine code: used until a source file changes, and not required."""
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numba
import pytest

from lth.errors import LthWarning
from lth.recipes.schema import DataSettings
from lth.training.engines.sparse_cpu.kernels import code_cache, compiler
from lth.training.engines.sparse_cpu.rule import sparse_obstacle
from tests.conftest import make_task

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


class FailingCache:
    """A cache of numba whose files cannot be read or written."""

    cache_path = '/somewhere'

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.flushed = False

    def load_overload(self, _signature: object, _context: object) -> None:
        raise self.error

    save_overload = load_overload

    def flush(self) -> None:
        self.flushed = True


@pytest.mark.parametrize('error', [
    EOFError(), pickle.UnpicklingError('truncated'), OSError(28, 'No space left on device'), KeyError('x')])
def test_an_error_of_the_cache_is_a_note_with_its_folder_and_machine_code_is_made_again(error):
    code_cache._reported.clear()  # pylint: disable=protected-access
    cache = FailingCache(error)
    with pytest.warns(LthWarning, match=f'the cache /somewhere .*{type(error).__name__}'):
        assert code_cache.TolerantCache(cache).load_overload(None, None) is None
    assert cache.flushed
    with warnings.catch_warnings(record=True) as more:
        code_cache.TolerantCache(cache).save_overload(None, None)
    assert not more  # one note for each folder


@pytest.mark.slow
@pytest.mark.parametrize('content', [b'', b'random'])
def test_corrupt_files_of_the_cache_are_written_again(kernel_folder, content):
    assert result_and_cache_hits(kernel_folder) == [11, 0]
    for file in kernel_folder.rglob('*.nb[ic]'):
        file.write_bytes(content)
    assert result_and_cache_hits(kernel_folder) == [11, 0]
    assert result_and_cache_hits(kernel_folder) == [11, 1]


def test_kernels_compile_without_a_folder_for_the_cache(monkeypatch):
    compile_ = numba.njit

    def refuse(*function, cache: bool = False, **options):
        if cache:
            raise RuntimeError('cannot cache function: no locator available for file')
        return compile_(*function, **options)

    monkeypatch.setattr(numba, 'njit', refuse)
    code_cache._reported.clear()  # pylint: disable=protected-access
    with pytest.warns(LthWarning, match='no folder can be written'):
        assert compiler.compiled(lambda number: number + 1)(1) == 2


def test_without_compilation_the_sparse_engine_is_not_used(monkeypatch):
    monkeypatch.setattr(numba.config, 'DISABLE_JIT', 1)
    function = compiler.compiled(max)
    assert function is max
    task = make_task()
    obstacle = sparse_obstacle(task.network, DataSettings(name='digits'), task.training, streamed=False)
    assert obstacle is not None and 'NUMBA_DISABLE_JIT is set' in obstacle
