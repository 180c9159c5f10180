"""The registry of executors, and the executor that a run or a sweep uses."""
from collections.abc import Mapping
from typing import Any

from lth.errors import LthError, quote
from lth.experiments.executors.protocol import Executor
from lth.recipes.section import validate_section
from lth.registry.registry import Registry

EXECUTORS: Registry[type[Executor]] = Registry('executor')


def make_executor(name: str, settings: Mapping[str, Any], origin: str = '') -> Executor:
    """The executor with this name and these settings, which come from `origin`. LthError for an unknown name, and for
    wrong settings.
    """

    executor, place = EXECUTORS.find(name), f'{origin or "--executor"} {EXECUTORS.canonical(name)}'
    if settings and not executor.model_fields:
        raise LthError(f'{place}: this executor has no settings. Leave out {quote(next(iter(settings)))}, or choose '
                       'another executor.')
    return validate_section(executor, dict(settings), place)
