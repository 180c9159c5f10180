"""The modules of the user that this process imported, and a second import of them, as a new process does it."""
import collections
import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from lth.registry import code_fingerprints, neighbors

# Words of generators of random numbers, and of what may seed them.
_RANDOM_WORDS = re.compile(
    rb'\b(default_rng|RandomState|SystemRandom|Random|Generator|SeedSequence|PCG64|PCG64DXSM|Philox|SFC64|MT19937|seed|'
    rb'urandom|getrandom|secrets|uuid[145]?|time|time_ns|perf_counter|datetime|getpid)\b')


class Imports:
    """The names of the user's modules, by the origin of the function that was loaded last before their import; the
    modules in files that names of functions gave; the origin loaded last; and how often all were forgotten.
    """

    modules: collections.defaultdict[str, set[str]] = collections.defaultdict(set)
    files: dict[Path, ModuleType] = {}
    origin = ''
    count = 0


def forget() -> None:
    """Forget the user's modules, so that the next command in this process imports them again, as a new process does."""

    for names in Imports.modules.values():
        code_fingerprints.forget(names)
    Imports.modules.clear()
    Imports.files.clear()
    Imports.count += 1
    neighbors.forget()


def imports() -> int:
    """A number that changes whenever the user's code is imported again."""

    return Imports.count


@contextlib.contextmanager
def recorded_imports() -> Iterator[None]:
    """Read the files of the user's modules that are imported in this block."""

    before = list(sys.modules)  # a list takes a third of the time of a set, and this block surrounds every measurement
    try:
        yield
    finally:
        if len(sys.modules) != len(before):
            Imports.modules[Imports.origin].update(code_fingerprints.read_new_modules(before))


def may_draw_random_numbers() -> bool:
    """Whether one of the user's modules has a word that code with random numbers of its own has, such as `default_rng`.
    Modules without one are the same after each import.
    """

    modules = [sys.modules.get(name) for name in _names()]
    return any(_RANDOM_WORDS.search(code_fingerprints.module_source(module)) for module in modules)


@contextlib.contextmanager
def second_import() -> Iterator[None]:
    """In this block, the user's modules are imported again when they are needed, and what they print is discarded.
    Afterwards, the first modules are back.
    """

    files, before = Imports.files, set(sys.modules)
    held = {name: sys.modules.pop(name) for name in _names() & before}
    Imports.files = {}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        Imports.files = files
        for name in code_fingerprints.read_new_modules(before):
            del sys.modules[name]
        sys.modules.update(held)
        for name, module in held.items():
            parent, _, child = name.rpartition('.')
            if parent in sys.modules:
                setattr(sys.modules[parent], child, module)


def _names() -> set[str]:
    return set().union(*Imports.modules.values())
