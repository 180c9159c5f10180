"""Fingerprints of code outside of lth: the bytes of a module's file, and of the modules that it imports.

A file is read when its module is imported, and never again in this process: what counts is the code that runs, not
what is in the file later. Of the imported modules, those count that are not installed: the user's own. For a module
that is installed, all loaded modules of its package count.
"""
import ast
import functools
import hashlib
import importlib.machinery
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

Fingerprint = dict[str, str]
_INSTALLED = {'site-packages', 'dist-packages'}
_contents: dict[Path, bytes] = {}
# Files of modules that were not loaded yet when they were read.
_read_early: dict[str, Path] = {}


class _Unit(NamedTuple):
    """A module: its name, the package to which its relative imports belong, and its file."""

    name: str
    package: str
    file: Path


def read(path: Path) -> bytes:
    """The bytes of a file when this process read it first; OSError if it cannot be read."""

    if path not in _contents:
        _contents[path] = path.read_bytes()
    return _contents[path]


def user_files() -> dict[Path, bytes]:
    """The files of the user's modules that this process has read, without those of installed packages."""

    return {path: content for path, content in _contents.items() if _is_user_file(path)}


def read_new_modules(before: Iterable[str]) -> list[str]:
    """Read the files of the user's modules that were imported since sys.modules had these names. Returns the names."""

    new = [name for name in sys.modules.keys() - set(before) if _is_user_file(_file(sys.modules[name]))]
    for name in new:
        _digest(_file(sys.modules[name]))
    return new


def imported_names(file: Path, package: str) -> list[str]:
    """Names of the modules that a file of a package ('' for none) imports, and of those that its neighbors import."""

    units = _imported_units(_Unit('', package, file))
    return [name for unit in units if unit.file.is_relative_to(file.parent) for name in _imported_names(unit)]


def file_of(name: str) -> Path | None:
    """The file of the module that is, or would be, imported under a name; None if it has none."""

    return _file(sys.modules[name]) if name in sys.modules else _unloaded_file(name)


def changed_modules() -> list[Path]:
    """Files that were read before their modules were imported, and had changed when these were."""

    loaded = [name for name in _read_early if name in sys.modules]
    files = [_read_early.pop(name) for name in loaded]
    return [file for file in files if not file.is_file() or file.read_bytes() != _contents[file]]


def forget(names: Iterable[str]) -> None:
    """Forget these modules and the bytes of their files, so that they are imported again."""

    for name in names:
        module = sys.modules.pop(name, None)
        file = _file(module)
        if file is not None:
            _contents.pop(file, None)


def module_fingerprint(module: ModuleType, label: str = '', more: Iterable[str] = ()) -> Fingerprint:
    """Digests by module name: of the module, under the label if there is one, of the modules that it imports, and of
    `more` modules, which were imported by calls that its code does not show.
    """

    file = _file(module)
    if file is None:
        return {}
    if _is_user_file(file):
        units = _imported_units(_Unit(module.__name__, _package(module), file))
    else:
        units = _loaded_units(module.__name__.partition('.')[0])
    digests = {name: _digest(_file(sys.modules[name])) for name in more if name in sys.modules}
    digests |= {unit.name: _digest(unit.file) for unit in units}
    return {label or module.__name__: digests.pop(module.__name__, _digest(file)), **digests}


def module_source(module: ModuleType | None) -> bytes:
    """The bytes of a module's file, b'' if there is none."""

    file = _file(module)
    try:
        return read(file) if file else b''
    except OSError:
        return b''


def text_fingerprint(text: str) -> str:
    """Digest of source code that is in no file."""

    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def was_read(file: str) -> bool:
    """Whether this process imported the file as code outside of lth."""

    return Path(file) in _contents


def is_user_file(file: str) -> bool:
    """Whether a file is neither of lth, nor of Python's library, nor of an installed package."""

    return _is_user_file(Path(file).absolute())


def _digest(file: Path | None) -> str:
    """Digest of a file's bytes, '' if it cannot be read."""

    try:
        return hashlib.blake2b(read(file) if file else b'', digest_size=12).hexdigest()
    except OSError:
        return ''


def _file(module: object) -> Path | None:
    name = getattr(module, '__file__', None)
    return Path(name).absolute() if isinstance(name, str) else None


def _package(module: ModuleType) -> str:
    return getattr(module, '__package__', None) or ''


@functools.cache
def _is_user_file(file: Path | None) -> bool:
    if file is None or _INSTALLED & set(file.parts) or not file.is_file():
        return False
    resolved = file.resolve()
    return not any(resolved.is_relative_to(folder) or file.is_relative_to(folder) for folder in _other_folders())


@functools.cache
def _other_folders() -> tuple[Path, ...]:
    """The folders of lth, of Python's library and of installed packages."""

    paths = {sysconfig.get_path(name) for name in ('stdlib', 'platstdlib', 'purelib', 'platlib')}
    folders = {Path(path) for path in (*paths, *site.getsitepackages(), site.getusersitepackages())}
    return Path(__file__).parents[1], *folders, *(folder.resolve() for folder in folders)


def _loaded_units(package: str) -> Iterator[_Unit]:
    """The loaded modules of a package."""

    for name, module in list(sys.modules.items()):
        file = _file(module)
        if name.partition('.')[0] == package and file is not None:
            yield _Unit(name, _package(module), file)


def _imported_units(root: _Unit) -> Iterator[_Unit]:
    """The root, and the user's modules that it imports, directly or through others, anywhere in their code."""

    seen, waiting = {root.name}, [root]
    while waiting:
        unit = waiting.pop()
        yield unit
        for name in _imported_names(unit):
            found = None if name in seen else _find(name)
            seen.add(name)
            if found:
                waiting.append(found)


def _imported_names(unit: _Unit) -> Iterator[str]:
    """The names that an import statement of the module may mean: `from a import b` imports a, and perhaps a.b."""

    for node in ast.walk(_tree(unit.file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute_name(unit, node.module or '', node.level)
            for name in (base, *(f'{base}.{alias.name}' for alias in node.names)):
                yield from _with_parents(name)


def _tree(file: Path) -> ast.AST:
    """The syntax tree of a file, an empty one for a file that is not source code."""

    try:
        return ast.parse(read(file))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _with_parents(name: str) -> Iterator[str]:
    """a, a.b and a.b.c for a.b.c."""

    parts = name.split('.')
    for count in range(1, len(parts) + 1):
        yield '.'.join(parts[:count])


def _absolute_name(unit: _Unit, name: str, level: int) -> str:
    """The name of a module that is imported with `level` dots."""

    if not level:
        return name
    parents = unit.package.split('.')
    base = '.'.join(parents[:len(parents) - level + 1])
    return f'{base}.{name}' if name and base else base or name


def _find(name: str) -> _Unit | None:
    """The user's module with this name, loaded or not yet loaded; None if there is none."""

    module = sys.modules.get(name)
    if module is not None:
        file, package = _file(module), _package(module)
    else:
        file, package = _unloaded_file(name), name.rpartition('.')[0]
    if file is None or not _is_user_file(file):
        return None
    if module is None and file not in _contents:
        _read_early[name] = file
    return _Unit(name, package, file)


def _unloaded_file(name: str) -> Path | None:
    """The file that would be imported under this name, without importing anything."""

    parent, _, _ = name.rpartition('.')
    path = getattr(sys.modules.get(parent), '__path__', None) if parent else None
    if parent and path is None:
        return None
    try:
        spec = importlib.machinery.PathFinder.find_spec(name, path)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin).absolute() if spec and spec.has_location and spec.origin else None
