"""Executors: where the seeds of runs are trained. Each is one file.

To add an executor, add a file to this folder with a subclass of `Executor` decorated with `@EXECUTORS.register(name)`;
the first sentence of its docstring is its summary in `lth list executors`.
"""
import importlib
import pkgutil

from lth.experiments.executors.registry import EXECUTORS, make_executor

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['EXECUTORS', 'make_executor']
