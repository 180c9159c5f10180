"""Recipes: the settings that decide a result, their validation, the presets that come with lth, and rare-gems files."""
