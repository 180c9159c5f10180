"""The registry of executors, and the executor that a run or a sweep uses."""
from collections.abc import Mapping
from typing import Any

from lth.experiments.executors.protocol import Executor
from lth.recipes.section import validate_section
from lth.registry.registry import Registry

EXECUTORS: Registry[type[Executor]] = Registry('executor')


def make_executor(name: str, settings: Mapping[str, Any]) -> Executor:
    """The executor with this name and these settings. LthError for an unknown name, and for wrong settings."""

    return validate_section(EXECUTORS.find(name), dict(settings), f'--executor {EXECUTORS.canonical(name)}')
