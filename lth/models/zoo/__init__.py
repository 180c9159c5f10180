"""The model zoo: functions (shape, classes, *, options) -> nn.Module, by name.

`shape` is (channels, height, width) of an image. To add a model, write a function in a file of this folder and decorate
it with `@MODELS.register(name)`; its options are keyword-only arguments with defaults. Only the structure matters:
network.py initializes the weights.
"""
import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)
