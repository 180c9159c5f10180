"""Plug-ins: packages that add models, data sets, criteria, mask actions, initializers, controls or algorithms.

A plug-in declares an entry point in the group `lth` whose value is one of its modules. Importing that module registers
its entries in the same way as files of lth do. All plug-ins are imported once, when the first name is looked up.
"""
import importlib.metadata
import sys

from lth.errors import LthError
from lth.registry import code_fingerprints, user_code


class _Import:
    """The import of all plug-ins, which happens once."""

    started = False
    error: LthError | None = None


def load() -> None:
    """Import all plug-ins once. LthError, in every call, if one of them cannot be imported."""

    if not _Import.started:
        _Import.started = True
        try:
            entries = importlib.metadata.entry_points(group='lth')
            for entry in sorted(entries, key=lambda entry: (entry.name, entry.value)):
                _import(entry)
        except LthError as error:
            _Import.error = error
    if _Import.error:
        raise _Import.error


def _import(entry: importlib.metadata.EntryPoint) -> None:
    name = f'The plug-in {entry.name}' + (f' of the package {entry.dist.name}' if entry.dist else '')
    before = set(sys.modules)
    with user_code.guard_plug_in(name):
        try:
            entry.load()
        except LthError as error:
            raise LthError(f'{name} cannot be used: {error}') from None
        finally:
            code_fingerprints.read_new_modules(before)
