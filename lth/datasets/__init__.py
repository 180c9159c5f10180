"""Data sets by name: what is known about each before its images are read, and how to read it.

To add a data set, register a Source in a new file of this folder. Data sets of users are found by registry.py.
"""
import importlib
import pkgutil

from lth.datasets.registry import DATASETS
from lth.datasets.source import Dataset, Source, Split, Stream

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['DATASETS', 'Dataset', 'Source', 'Split', 'Stream']
