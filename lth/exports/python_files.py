"""Import a Python file that an export wrote, as its users will, under a name that no other module has."""
import importlib.util
from pathlib import Path
from types import ModuleType


def import_file(path: Path) -> ModuleType:
    """The module in a file of lth's own writing. It is not registered, so that each import is a new one."""

    spec = importlib.util.spec_from_file_location(f'lth_export_{path.stem}', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
