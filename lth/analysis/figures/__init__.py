"""The figures of `lth plot`, one file each. They compute series of points (lth/analysis/plotting/series.py).

To add a figure, add a file to this folder with a function `(request: FigureRequest) -> FigureData | NoData` decorated
with `@FIGURES.register(name)`; the first sentence of its docstring is its summary in `lth list figures`.
"""
import importlib
import pkgutil

from lth.analysis.plotting.registry import FIGURES

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['FIGURES']
