"""Algorithms: generators of rounds that know no files and no screens.

A new algorithm is a file in this folder with `@algorithm(name, Settings, ...)` above a function
(task, settings, past) -> rounds.
"""
import importlib
import pkgutil

from lth.algorithms.base import ALGORITHMS, Algorithm

for _module in pkgutil.walk_packages(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['ALGORITHMS', 'Algorithm']
