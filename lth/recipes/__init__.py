"""Recipes: the settings that decide a result, their validation, the presets that come with lth, and rare-gems files."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.recipes import durations, presets, rare_gems, schema, validation_errors
else:
    __getattr__ = submodules(__name__)
