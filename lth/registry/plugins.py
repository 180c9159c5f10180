"""Plug-ins: packages that add models, data sets, criteria, mask actions, initializers, controls or algorithms.

A plug-in declares an entry point in the group `lth` whose value is one of its modules. Importing that module registers
its entries in the same way as files of lth do. All plug-ins are imported once, when the first name is looked up.
"""
import functools
import importlib.metadata

from lth.errors import LthError
from lth.registry import user_code

GROUP = 'lth'
_importing = False


def load() -> None:
    """Import all plug-ins once. LthError, in every call, if one of them cannot be imported."""

    if not _importing and (error := _import_all()):
        raise error


@functools.cache
def _import_all() -> LthError | None:
    global _importing  # pylint: disable=global-statement # a plug-in may look up names while it is imported
    _importing = True
    try:
        for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
            _import(entry)
    except LthError as error:
        return error
    finally:
        _importing = False
    return None


def _import(entry: importlib.metadata.EntryPoint) -> None:
    name = f'The plug-in {entry.name}' + (f' of the package {entry.dist.name}' if entry.dist else '')
    with user_code.guard(name):
        try:
            entry.load()
        except LthError as error:
            raise LthError(f'{name} cannot be used: {error}') from None
