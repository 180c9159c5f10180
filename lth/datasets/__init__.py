"""Data sets by name: what is known of each without its files, and how to read it into memory.

A new data set is a file in this folder that registers a Source; what a user names himself is found by register.py.
"""
import importlib
import pkgutil

from lth.datasets.registry import DATASETS
from lth.datasets.source import Dataset, Source, Split, Stream

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['DATASETS', 'Dataset', 'Source', 'Split', 'Stream']
