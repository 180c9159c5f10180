"""Algorithms: generators of rounds that neither read or write files nor print.

To add an algorithm, add a file to this folder with a class of settings and a generator of rounds, a function
(task, settings, past) -> rounds with `@ALGORITHMS.register(name, settings=Settings)` above it.
"""
import importlib
import pkgutil

from lth.algorithms.base import ALGORITHMS, Algorithm

for _module in pkgutil.walk_packages(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['ALGORITHMS', 'Algorithm']
