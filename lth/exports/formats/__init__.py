"""The export formats, one file each.

To add a format, add a file to this folder with a function (network) -> Exported, decorated with
`@EXPORT_FORMATS.register(name)`; the first sentence of its docstring is its summary in `lth list formats`.
"""
import importlib
import pkgutil

from lth.exports.export_format import EXPORT_FORMATS

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['EXPORT_FORMATS']
