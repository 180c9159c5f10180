"""Runs of other programs: their masks and weights, read without running code, by the names of a network of lth.

To add a form, write a file with a function that is decorated with `@FORMS.register(name)`, see forms.py.
"""
import importlib
import pkgutil

from lth.foreign.forms import FORMS, ForeignRound, ForeignRun

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['FORMS', 'ForeignRound', 'ForeignRun']
