"""Functions of the user by name: `package.module:function`, or `path/to/file.py:function` from the current folder."""
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from lth.errors import LthError, describe, quote, suggestion
from lth.registry import code_fingerprints, neighbors, trust, user_modules
from lth.registry.code_fingerprints import Fingerprint
from lth.registry.torch_settings import restored_settings

# Names with these words before the colon are not code of the user.
_KINDS_OF_NAMES = ('torchvision', 'timm', 'folder', 'npz', 'hf', 'torchvision-dataset', 'object')
# Their own processes end by os._exit, and signals end this one.
_MAY_EXIT = {*sys.stdlib_module_names, 'lth', 'ray', 'torch'}


def names_code(name: str) -> bool:
    """Whether the name is `package.module:function` or `path/to/file.py:function`."""

    return ':' in name and name.partition(':')[0] not in _KINDS_OF_NAMES


def load(name: str) -> Any:
    """The function with this name. LthError if it is not trusted, or if its file, module or function does not exist."""

    trust.require_if_strict(name)
    origin, _, function = name.rpartition(':')
    user_modules.Imports.origin = origin
    module = _module(origin)
    if not callable(getattr(module, function, None)):
        names = [word for word, value in vars(module).items() if callable(value) and not word.startswith('_')]
        raise LthError(f'{name}: {origin} has no function {quote(function)}{suggestion(function, names)}')
    return getattr(module, function)


def fingerprint(name: str) -> Fingerprint:
    """Digests of the file of a function with this name, and of the user's modules that it imports, also by
    `importlib.import_module` as far as that was called.
    """

    origin = name.rpartition(':')[0]
    return code_fingerprints.module_fingerprint(_module(origin), origin, user_modules.Imports.modules[origin])


def source(name: str) -> bytes:
    """The bytes of the file of a function with this name, as it was imported; b'' if there is none."""

    return code_fingerprints.module_source(_module(name.rpartition(':')[0]))


def require_trust(recipe: Mapping[str, Any]) -> None:
    """LthError if a recipe names a model, a data set or a criterion whose code may not run."""

    for name in code_names(recipe):
        trust.require(name)


def code_names(recipe: Mapping[str, Any]) -> list[str]:
    """The names of functions of the user that a recipe has as model, data set or criterion."""

    sections = [(recipe.get(key), setting) for key, setting in (
        ('model', 'name'), ('data', 'name'), ('algorithm', 'criterion'))]
    names = [section.get(setting) for section, setting in sections if isinstance(section, Mapping)]
    return [name for name in names if isinstance(name, str) and names_code(name)]


@contextlib.contextmanager
def guard(name: str, function: object = None) -> Iterator[None]:
    """Report exceptions that the user's code raises in this block, and its attempts to end the process, as an LthError
    with file and line, by default those of the `function` that the block calls. Settings of torch that it changes are
    restored.
    """

    with guard_plug_in(name, function), user_modules.recorded_imports():
        yield


@contextlib.contextmanager
def guard_plug_in(name: str, function: object = None) -> Iterator[None]:
    """As `guard`, for the import of a plug-in, which is never imported again."""

    with restored_settings(name), _exits_as_exceptions():
        try:
            yield
        except LthError:
            raise
        except (Exception, SystemExit) as error:  # pylint: disable=broad-exception-caught # user code raises anything
            raise _failure(name, error, definition_place(function)) from None


@contextlib.contextmanager
def guard_training(name: str, *, foreign_model: bool = False) -> Iterator[None]:
    """As `guard`, for a block that runs lth's code as well: exceptions of lth's own are passed on. Those in a forward
    pass are those of the model, if it is foreign.
    """

    with restored_settings(name), _exits_as_exceptions(), user_modules.recorded_imports():
        try:
            yield
        except LthError:
            raise
        except (Exception, SystemExit) as error:  # pylint: disable=broad-exception-caught # user code raises anything
            frames = traceback.extract_tb(error.__traceback__)
            foreign = any(code_fingerprints.was_read(frame.filename) for frame in frames)
            in_forward = foreign_model and any(frame.name == '_call_impl' for frame in frames)
            if not (foreign or in_forward or isinstance(error, SystemExit)):
                raise
            raise _failure(name, error) from None


def definition_place(function: object) -> str:
    """Where a function is defined, as the end of a sentence: ` (FILE, line N)`, or ''."""

    code = getattr(inspect.unwrap(function), '__code__', None) if callable(function) else None
    return f' ({code.co_filename}, line {code.co_firstlineno})' if code else ''


def place(error: BaseException, otherwise: str = '') -> str:
    """Where an exception was raised, as the end of a sentence: ` (FILE, line N)`; in the user's code if it passed
    through some, else `otherwise`, or the last place in any code; '' if it has no traceback.
    """

    frames = traceback.extract_tb(error.__traceback__)
    return _place(_own(frames)) or otherwise or _place(frames)


def current_place() -> str:
    """The line of the user's code that is being executed, as the end of a sentence: ` (FILE, line N)`, or ''."""

    return _place(_own(traceback.extract_stack()))


def _own(frames: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """The frames in files of the user."""

    read = [frame for frame in frames if code_fingerprints.was_read(frame.filename)]
    return read or [frame for frame in frames if code_fingerprints.is_user_file(frame.filename)]


def _place(frames: Sequence[traceback.FrameSummary]) -> str:
    return f' ({frames[-1].filename}, line {frames[-1].lineno})' if frames else ''


def _failure(name: str, error: BaseException, otherwise: str = '') -> LthError:
    failure = LthError(f'{name} raised {describe(error):.1000}{place(error, otherwise)}.')
    failure.traceback = ''.join(traceback.format_exception(error))
    return failure


def _module(origin: str) -> ModuleType:
    return _import_file(Path(origin).resolve()) if origin.endswith('.py') else _import_module(origin)


def _import_file(path: Path) -> ModuleType:
    if path not in user_modules.Imports.files:
        user_modules.Imports.files[path] = _new_module(path)
    return user_modules.Imports.files[path]


def _new_module(path: Path) -> ModuleType:
    """The module in a file. What is compiled are the same bytes as its fingerprint is made of."""

    if not path.is_file():
        raise LthError(f'{path}: no such file. Give a path relative to the current folder, such as mine.py:function.')
    digest = hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()
    # Files with the same stem are different modules.
    name = f'{path.stem}_of_user_{digest}'
    package = neighbors.package_of(path)
    neighbors.prefer(path)
    spec = importlib.util.spec_from_file_location(f'{package}.{name}' if package else name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with _importing(str(path)):
        sys.modules[spec.name] = module  # dataclasses look up annotations there
        try:
            code = compile(code_fingerprints.read(path), str(path), 'exec')
            exec(code, vars(module))  # pylint: disable=exec-used # the user named this file
        except BaseException:
            sys.modules.pop(spec.name, None)
            raise
    neighbors.refuse_other_files()
    return module


def _import_module(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    try:
        with _importing(f'The module {quote(name)}'):
            return importlib.import_module(name)
    except LthError as error:
        raise error.extended('Write package.module:function for a module that Python can import, or '
                             'path/to/file.py:function.') from None


@contextlib.contextmanager
def _importing(what: str) -> Iterator[None]:
    """Guard an import. Random numbers that are drawn in it are the same in each process."""

    from lth import rng  # pylint: disable=import-outside-toplevel # imports torch, which not every command needs
    with rng.seeded_globals(0), guard(f'The import of {what.removeprefix("The ")}'):
        try:
            yield
        except (ImportError, SyntaxError) as error:
            raise LthError(f'{what} cannot be imported: {error}.') from None


@contextlib.contextmanager
def _exits_as_exceptions() -> Iterator[None]:
    """Let os._exit raise SystemExit where code outside of lth calls it: it would end the process without a word."""

    def raise_exit(status: int) -> NoReturn:
        caller = str(sys._getframe(1).f_globals.get('__name__'))  # pylint: disable=protected-access # the caller's name
        if os.getpid() != process or caller.partition('.')[0] in _MAY_EXIT:
            exit_(status)
        raise SystemExit(f'os._exit({status})')

    process, exit_ = os.getpid(), os._exit  # pylint: disable=protected-access # no other function ends a process so
    os._exit = raise_exit  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = exit_
