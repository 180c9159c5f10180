"""What other packages add: models, data sets, criteria, actions, initializers, controls and algorithms.

A package declares an entry point in the group `lth` that names a module of its own; importing that module registers
what it has, exactly as files of lth do. All are imported once, when the first name is looked up.
"""
import importlib.metadata

from lth.errors import LthError
from lth.registry import user_code

GROUP = 'lth'


class _Import:
    """How it went, for it happens once."""

    begun = False
    error: LthError | None = None


def load() -> None:
    """Imports all plug-ins, once; an LthError, every time, if one of them cannot be."""

    if not _Import.begun:
        _Import.begun = True
        try:
            _import()
        except LthError as error:
            _Import.error = error
    if _Import.error:
        raise _Import.error


def _import() -> None:
    entries = importlib.metadata.entry_points(group=GROUP)
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.value)):
        name = f'The plug-in {entry.name}' + (f' of the package {entry.dist.name}' if entry.dist else '')
        with user_code.guard(name):
            try:
                entry.load()
            except LthError as error:
                raise LthError(f'{name} cannot be used: {error}') from None
