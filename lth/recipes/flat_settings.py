"""The settings of a recipe as one level of names and values, for tables."""
import json

from lth.system.yaml_text import Raw

Setting = str | int | float | bool | None


def flat_settings(recipe: Raw, path: str = '') -> dict[str, Setting]:
    """The settings of a recipe by their dotted names, such as `training.batch_size`; lists as JSON."""

    flat: dict[str, Setting] = {}
    for key, value in recipe.items():
        if isinstance(value, dict):
            flat |= flat_settings(value, f'{path}{key}.')
        else:
            flat[f'{path}{key}'] = value if isinstance(value, Setting) else json.dumps(value, default=str)
    return flat
