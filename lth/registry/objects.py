"""Models and data sets that are given as Python objects: names for them, valid in this process.

`register` returns a name such as `object:make_net-3f9a2c61`. The name ends with a digest of the object, so a recipe or
a file that holds the name belongs to exactly this object. Everything else uses the name as any other name of a model or
a data set.
"""
import inspect
import re
from typing import Any

from lth.errors import LthError

_PREFIX = 'object:'
_objects: dict[str, Any] = {}


def register(label: str, digest: str, value: Any) -> str:
    """Register a value: the name under which `find` returns it from now on. The label is for people, the digest
    decides.
    """

    name = f'{_PREFIX}{re.sub(r"[^A-Za-z0-9_]+", "", label)}-{digest}'
    _objects[name] = value
    return name


def is_object(name: str) -> bool:
    """Whether the name belongs to a Python object, registered in this process or not."""

    return name.startswith(_PREFIX)


def find(name: str) -> Any:
    """The object of a name; LthError if it was not registered in this process."""

    if name not in _objects:
        raise LthError(f'{name} is a Python object that was passed to lth when the run was made, and this process does '
                       'not have it. Open the run in Python with the same model and data, and continue there: '
                       'lth.open_run(RUN, model=..., data=...). If the run starts from another run, open that run '
                       'first.')
    return _objects[name]


def source_code(value: Any) -> str:
    """The source code of a function or class, '' if there is none, as for some functions of a notebook."""

    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return ''
