"""Functions of the user by name: `package.module:function`, or `path/to/file.py:function` from the current folder."""
import contextlib
import functools
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from lth.errors import LthError, describe, suggestion


def load(name: str) -> Any:
    """The function with this name. LthError if its file, module or function does not exist."""

    origin, _, function = name.rpartition(':')
    module = _import_file(Path(origin).resolve()) if origin.endswith('.py') else _import_module(origin)
    if not callable(getattr(module, function, None)):
        names = [word for word, value in vars(module).items() if callable(value) and not word.startswith('_')]
        raise LthError(f'{name}: {origin} has no function {function!r}{suggestion(function, names)}')
    return getattr(module, function)


@contextlib.contextmanager
def guard(name: str) -> Iterator[None]:
    """Report exceptions that the user's code raises in this block as an LthError with file and line."""

    try:
        yield
    except LthError:
        raise
    except (Exception, SystemExit) as error:  # pylint: disable=broad-exception-caught # user code raises anything
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise LthError(f'{name} raised {describe(error)} ({frame.filename}, line {frame.lineno}).') from None


@functools.cache
def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise LthError(f'{path}: no such file. Give a path relative to the current folder, such as mine.py:function.')
    spec = importlib.util.spec_from_file_location(f'{path.stem}_of_user', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up annotations there
    with guard(f'The import of {path}'):
        try:
            spec.loader.exec_module(module)
        except (ImportError, SyntaxError) as error:
            del sys.modules[spec.name]
            raise LthError(f'{path} cannot be imported: {error}.') from None
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError, ValueError, TypeError) as error:
        raise LthError(f'The module {name!r} cannot be imported: {error}. Write package.module:function for a '
                       'module that Python can import, or path/to/file.py:function.') from None
