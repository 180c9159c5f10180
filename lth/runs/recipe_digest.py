"""The digest of a recipe that each round records: a round of another recipe is noticed even if its files fit."""
import hashlib
import json
from typing import Any

from lth.system.yaml_text import Raw


def recipe_digest(recipe: Raw, stored: Raw) -> str:
    """A digest of the settings of a complete recipe that the `stored` recipe of the run has: a later version, whose
    recipes have more settings, computes the same. It does not depend on `source`, which is a text for the reader, nor
    on the number of rounds and the weights kept in each, which grow with the run.
    """

    settings = _restrict(recipe, stored)
    settings.pop('source', None)
    algorithm = {key: value for key, value in settings.get('algorithm', {}).items() if key not in ('rounds', 'kept')}
    content = json.dumps({**settings, 'algorithm': algorithm}, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def _restrict(recipe: Raw, stored: Raw) -> Raw:
    """The settings of the recipe that the stored one has too."""

    return {key: _restrict_value(value, stored[key]) for key, value in recipe.items() if key in stored}


def _restrict_value(value: Any, stored: Any) -> Any:
    return _restrict(value, stored) if isinstance(value, dict) and isinstance(stored, dict) else value
