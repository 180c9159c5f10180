"""The zoo: functions (shape, classes, *, options) -> nn.Module, by name.

`shape` is (channels, height, width) of a picture. A new model is a function in a file of this folder, with its name
above it; its options are keyword-only arguments with defaults. Weights are drawn by network.py, so a model only says
its structure.
"""
import importlib
import pkgutil

from lth.models.zoo import MODELS, Model, settings_of

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)

__all__ = ['MODELS', 'Model', 'settings_of']
