"""What a user wrote, by name: `package.module:function`, or `path/to/file.py:function` from the current folder."""
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
    """The function of that name; an LthError says what of it could not be found."""

    place, _, attribute = name.rpartition(':')
    module = _file(Path(place).resolve()) if place.endswith('.py') else _module(place)
    if not callable(getattr(module, attribute, None)):
        names = [word for word, thing in vars(module).items() if callable(thing) and not word.startswith('_')]
        raise LthError(f'{name}: {place} has no function {attribute!r}{suggestion(attribute, names)}')
    return getattr(module, attribute)


@contextlib.contextmanager
def guard(name: str) -> Iterator[None]:
    """Tells what the user's code raises in a block as a mistake in it: what and where."""

    try:
        yield
    except LthError:
        raise
    except (Exception, SystemExit) as error:  # pylint: disable=broad-exception-caught # it is not ours to know which
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise LthError(f'{name} raised {describe(error)} ({frame.filename}, line {frame.lineno}).') from None


@functools.cache
def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise LthError(f'{path}: there is no such file. Write a path from here, such as networks/mine.py:function.')
    spec = importlib.util.spec_from_file_location(f'{path.stem}_of_user', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for what annotations name
    with guard(f'{path}, when it is imported,'):
        try:
            spec.loader.exec_module(module)
        except (ImportError, SyntaxError) as error:
            del sys.modules[spec.name]
            raise LthError(f'{path} cannot be imported: {error}.') from None
    return module


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError, ValueError, TypeError) as error:
        raise LthError(f'The module {name!r} cannot be imported: {error}. Write package.module:function for what '
                       'Python can import, or path/to/file.py:function.') from None
