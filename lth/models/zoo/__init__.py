"""The model zoo: functions (shape, classes, *, options) -> nn.Module, by name.

`shape` is (channels, height, width) of an image. To add a model, write a function in a file of this folder and decorate
it with `@MODELS.register(name)`; its options are keyword-only arguments with defaults. Weights are drawn by network.py,
so a model only defines its structure.
"""
import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)
