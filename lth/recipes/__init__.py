"""Recipes: the settings that decide a result, their validation, the presets of lth, and files of rare-gems."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.recipes import (
        algorithm_settings, durations, presets, rare_gems, schema, section, source_settings, training_settings,
        validation_errors)
else:
    __getattr__ = submodules(__name__)
