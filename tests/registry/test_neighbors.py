"""Modules next to a file of the user are found however lth was started, and never mistaken for others."""
import sys
from pathlib import Path

import pytest

from lth import rng
from lth.errors import LthError
from lth.registry import user_code, user_modules

NET = 'from parts import word\n\ndef net():\n    from late import end\n    return word + end\n'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder, from which nothing is imported, and no folders of other tests in sys.path."""

    user_modules.forget()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [path for path in sys.path if path not in ('', str(tmp_path))])
    yield tmp_path
    user_modules.forget()


def write(folder: str, **files: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (Path(folder) / f'{name}.py').write_text(text)


def call(name: str) -> object:
    """Load a function and call it as lth does."""

    with user_code.guard(name):
        return user_code.load(name)()


def test_neighbors_are_found_in_the_folder_of_the_file_at_its_import_and_later():
    write('sub', net=NET, parts='word = "sub"', late='end = "!"')
    write('.', parts='word = "the current folder"')
    path = list(sys.path)
    assert call('sub/net.py:net') == 'sub!'
    assert user_code.fingerprint('sub/net.py:net').keys() == {'sub/net.py', 'parts', 'late'}
    user_modules.forget()
    assert sys.path == path and 'parts' not in sys.modules


def test_a_file_of_a_package_imports_relatively_and_its_package_by_name():
    write('top/pack', __init__='', parts='word = "pack"')
    write('top/pack/inner', __init__='', late='end = "?"',
          net=NET.replace('from parts', 'from ..parts').replace('from late', 'from pack.inner.late'))
    assert call('top/pack/inner/net.py:net') == 'pack?'
    assert 'pack.inner.late' in user_code.fingerprint('top/pack/inner/net.py:net')


def test_a_folder_without_init_is_imported_as_a_package():
    write('sub/models', parts='word = "models"')
    write('sub', net=NET.replace('from parts', 'from models.parts'), late='end = ""')
    assert call('sub/net.py:net') == 'models'


@pytest.mark.parametrize('draw', ['numpy.random.rand()', 'random.random()', 'float(torch.rand(()))'])
def test_random_numbers_drawn_by_an_import_are_the_same_each_time_and_change_no_generator(draw):
    write('a', net=f'import random, numpy, torch\nvalue = {draw}\ndef net():\n    return value\n')
    state = rng.globals_state()
    first = call('a/net.py:net')
    assert rng.globals_state() == state
    user_modules.forget()
    assert call('a/net.py:net') == first


@pytest.mark.parametrize('other', ['from parts import word\ndef data(): pass', 'def data():\n    import parts'])
def test_two_neighbors_with_one_name_are_an_error(other):
    write('a', net=NET, parts='word = "a"', late='end = ""')
    write('b', data=other, parts='word = "b"')
    user_code.load('a/net.py:net')
    with pytest.raises(LthError, match=r'imports parts from .*, but in this process parts is .*parts.py. Rename one'):
        user_code.load('b/data.py:data')


def test_a_neighbor_that_is_named_as_a_module_of_python_is_an_error():
    write('a', net=NET.replace('parts', 'random'), random='word = "a"', late='end = ""')
    with pytest.raises(LthError, match='imports random from .*a/random.py, but in this process random is '):
        user_code.load('a/net.py:net')


def test_a_neighbor_that_is_named_as_an_unrelated_module_does_not_matter():
    write('a', net=NET, parts='word = "a"', late='end = ""', random='raise SystemExit')
    assert call('a/net.py:net') == 'a'
