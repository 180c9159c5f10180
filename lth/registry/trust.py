"""Which code outside of lth and its plug-ins may run: what the user named, or everything if the user said so.

A run folder or a recipe of somebody else may name `path/to/file.py:function` or `package.module:function`. Such a name
is imported only if the same name was given on this command line or in this process, or with --trust-code.
"""
import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lth.errors import LthError, quote


@dataclass(frozen=True)
class Trust:
    """The names of code that may run; with `everything`, all names may. Names that do not come from a recipe, as in
    `lth.MODELS.find(name)`, are refused too where `strict`: in commands and in the functions of the Python API.
    """

    names: frozenset[str] = frozenset()
    everything: bool = False
    strict: bool = False


class _Current:
    """What this process may run."""

    trust = Trust()
    ignores_additions = False


def current() -> Trust:
    """What this process may run, for the processes that it starts."""

    return _Current.trust


def set_current(trust: Trust) -> None:
    """Let this process run this, and nothing else."""

    _Current.trust = trust


def add(value: Any) -> Any:
    """Trust the code that an argument of the user names: a name, or a section of settings with a name. Returns the
    value.
    """

    name = value.get('name') if isinstance(value, Mapping) else value
    if isinstance(name, str) and ':' in name and not _Current.ignores_additions:
        _Current.trust = replace(_Current.trust, names=_Current.trust.names | {_full_name(name)})
    return value


@contextlib.contextmanager
def additions_ignored() -> Iterator[None]:
    """Trust no further names in this block, which reads a command line from a file: the file may be somebody else's."""

    before, _Current.ignores_additions = _Current.ignores_additions, True
    try:
        yield
    finally:
        _Current.ignores_additions = before


def add_everything() -> None:
    """Trust all names of code."""

    _Current.trust = replace(_Current.trust, everything=True)


@contextlib.contextmanager
def strict_call(*, everything: bool) -> Iterator[None]:
    """Be strict in this block, and trust everything if the call says so. Names that are used there stay trusted."""

    before = _Current.trust
    _Current.trust = replace(before, everything=everything or before.everything, strict=True)
    try:
        yield
    finally:
        _Current.trust = replace(_Current.trust, everything=before.everything, strict=before.strict)


def require(name: str) -> None:
    """LthError that says what would be run, unless the code with this name may run. For names in recipes."""

    trust = _Current.trust
    if trust.everything:
        add(name)
    elif _full_name(name) not in trust.names:
        raise LthError(f'{quote(name)} is named by a recipe, and is neither a part of lth nor of a plug-in: '
                       f'{_what_would_run(name)} would be imported and run. If you trust it, repeat the command '
                       'with --trust-code (in Python: trust_code=True), or give this name yourself as an argument.')


def require_if_strict(name: str) -> None:
    """As `require`, for all other names."""

    if _Current.trust.strict:
        require(name)


def _full_name(name: str) -> str:
    """The name with the absolute path of its file."""

    origin, _, function = name.rpartition(':')
    return f'{Path(origin).resolve()}:{function}' if origin.endswith('.py') else name


def _what_would_run(name: str) -> str:
    """The file of a name, or the package with its place."""

    origin = name.rpartition(':')[0]
    if origin.endswith('.py'):
        return f'the file {Path(origin).resolve()}'
    package = origin.partition('.')[0]
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    return f'the package {quote(package)} ({spec.origin if spec else "which cannot be found"})'
