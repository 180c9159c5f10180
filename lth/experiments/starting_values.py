"""Settings that the user sets to `auto`: they start from the value that the recipe has for them."""
from collections.abc import Mapping
from typing import Any

from lth.algorithms import ALGORITHMS
from lth.registry.registry import normalize_name
from lth.system.yaml_text import Raw


def starting_values(algorithm: Any, recipe: Raw) -> Mapping[str, Any]:
    """The settings, by dotted keys, with which the section `algorithm` of the user starts what is `auto` in it from the
    value in the recipe that the user changes; {} if nothing is, or if the user sets it.
    """

    name = algorithm.get('name') if isinstance(algorithm, Mapping) else None
    published = recipe.get('algorithm', {})
    if not isinstance(name, str) or normalize_name(name) not in map(normalize_name, ALGORITHMS.names()):
        return {}
    return {f'algorithm.{start}': published[setting]
            for setting, start in ALGORITHMS.find(name).settings.starting_values.items()
            if algorithm.get(setting) == 'auto' and algorithm.get(start) is None
            and isinstance(published.get(setting), int | float)}
