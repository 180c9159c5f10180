"""The settings typed on a command line, parsed."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth import experiments
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.experiments.resolve import Changes


def changes(options: Mapping[str, Any], overrides: Sequence[str] | None, epochs: int | None = None) -> 'Changes':
    """The changes to a recipe: options by dotted key, the texts of --set, and the number of epochs."""

    return experiments.resolve.Changes(epochs, options, [_override(text) for text in overrides or ()])


def _override(text: str) -> tuple[str, Any]:
    """Key and value of KEY=VALUE; the value is YAML."""

    from lth.system import files  # pylint: disable=import-outside-toplevel # yaml
    key, equals, value = text.partition('=')
    if not equals or not key.strip():
        raise LthError(f'--set {text}: write it as key=value, such as --set training.batch_size=128.')
    return key.strip(), files.parse_yaml(value, f'--set {text}')
