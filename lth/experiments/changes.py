"""What the user changes in a recipe: the length, settings that have an option, and single settings by dotted keys."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lth.experiments import setting_checks
from lth.recipes.schema import merge
from lth.system.yaml_text import Raw


@dataclass(frozen=True)
class Changes:
    """What the user changes in a recipe. Keys are dotted, such as 'training.batch_size'.

    epochs: length of training, which also decides where a gem's learning rate drops.
    options: settings that have an argument of their own; None leaves the value of the recipe.
    overrides: pairs (key, value), applied last; a value that replaces a whole section may be a dict.

    LthError if two of them set the same thing.
    """

    epochs: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[tuple[str, Any]] = ()

    def __post_init__(self) -> None:
        setting_checks.refuse_contradictions({**self.options, 'training.length': self.epochs}, self.overrides)

    def apply(self, raw: Raw, lengths: Mapping[str, Any] | None = None) -> Raw:
        """The recipe with the changes; `lengths` are the settings that the number of epochs changes in it."""

        options = {key: value for key, value in {**self.options, **(lengths or {})}.items() if value is not None}
        for key, value in (*options.items(), *self.overrides):
            raw = merge(raw, _nested(key, value))
        # Again: an override may have replaced a section, such as the optimizer, and so removed these settings.
        for key, value in options.items():
            if setting_at(raw, key) is None:
                raw = merge(raw, _nested(key, value))
        return raw


def training_length(epochs: int | None) -> dict[str, Any]:
    """The setting for a number of epochs, {} for None."""

    return {} if epochs is None else {'training.length': f'{epochs} epochs'}


def setting_at(raw: Any, key: str) -> Any:
    """The value of a dotted key, None if it is absent."""

    for part in key.split('.'):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _nested(key: str, value: Any) -> Raw:
    """A dotted key and its value as nested dicts: _nested('a.b', 1) is {'a': {'b': 1}}."""

    for part in reversed(key.split('.')):
        value = {part: value}
    return dict(value)
