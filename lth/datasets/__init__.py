"""Data sets by name: what is known of each without its files, and how to read it into memory.

A new data set is a file in this folder that registers a Source.
"""
import importlib
import pkgutil

from lth.datasets.source import DATASETS, Dataset, Source, Split

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['DATASETS', 'Dataset', 'Source', 'Split']
