"""Modules that are imported on first use, so that `lth --help` does not import torch, nor most commands torchvision."""
import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any


def submodules(package: str) -> Callable[[str], ModuleType]:
    """The `__getattr__` of a package whose submodules are its attributes.

    In the `__init__.py` of the package; mypy reads the first branch, Python runs the second:

        if TYPE_CHECKING:
            from lth.experiments import open_run, plan
        else:
            __getattr__ = submodules(__name__)

    After `from lth import experiments`, the expression `experiments.plan.make_plan` imports `lth.experiments.plan`.
    """

    def import_submodule(name: str) -> ModuleType:
        path = f'{package}.{name}'
        if importlib.util.find_spec(path) is None:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        return importlib.import_module(path)
    return import_submodule


def module(name: str) -> ModuleType:
    """A stand-in for a module, which imports it when one of its attributes is first used:

        torchvision = lazy_import.module('torchvision')
    """

    return _LazyModule(name)


class _LazyModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)
