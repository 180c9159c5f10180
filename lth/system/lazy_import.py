"""Packages whose submodules are imported on first use, so that `lth --help` and `import lth` do not import torch."""
import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType


def submodules(package: str) -> Callable[[str], ModuleType]:
    """Return the `__getattr__` of a package whose submodules are its attributes.

    In the `__init__.py` of the package; mypy reads the first branch, Python runs the second:

        if TYPE_CHECKING:
            from lth.experiments import open_run, plan
        else:
            __getattr__ = submodules(__name__)

    After `from lth import experiments`, the expression `experiments.plan.make_plan` imports `lth.experiments.plan`.
    """

    def import_submodule(name: str) -> ModuleType:
        module = f'{package}.{name}'
        if importlib.util.find_spec(module) is None:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        return importlib.import_module(module)
    return import_submodule
