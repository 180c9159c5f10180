"""From what was typed to a plan: the recipe of the pair or of a file, then the options, then `--set`."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth.errors import LthError

if TYPE_CHECKING:
    from lth.plan import Plan


def plan_of(model: str, dataset: str, recipe: str | None, options: Mapping[str, Any], overrides: Sequence[str]) -> 'Plan':
    """The plan for a model and a data set; `options` are dotted settings that have a flag of their own, None if not given."""

    # Here and in the commands: torch takes 2 s to import, and `--help` must not wait for it.
    from lth import files, recipes  # pylint: disable=import-outside-toplevel
    from lth.datasets import DATASETS  # pylint: disable=import-outside-toplevel
    from lth.models import MODELS  # pylint: disable=import-outside-toplevel
    from lth.plan import planned  # pylint: disable=import-outside-toplevel
    from lth.recipe import merged  # pylint: disable=import-outside-toplevel
    model, dataset = MODELS.canonical(model), DATASETS.canonical(dataset)
    raw, origin, remark = recipes.default(model, dataset) if recipe is None else (*recipes.find(recipe), None)
    for section, name, registry in (('model', model, MODELS), ('data', dataset, DATASETS)):
        asked = raw.get(section) or {}
        if isinstance(asked, dict) and 'name' in asked and registry.canonical(str(asked['name'])) != name:
            raise LthError(f'{origin}: {section}: this recipe is for {asked["name"]!r}, but {name!r} was asked for.')
        raw = merged(raw, {section: {'name': name}})
    for key, value in options.items():
        if value is not None:
            raw = merged(raw, _nested(key, value))
    for override in overrides:
        key, equals, value = override.partition('=')
        if not equals or not key.strip():
            raise LthError(f'--set {override}: write it as key=value, such as --set training.batch_size=128.')
        try:
            raw = merged(raw, _nested(key.strip(), files.parsed_yaml(value)))
        except ValueError as error:
            raise LthError(f'--set {override}: the value is not valid YAML: {error}') from None
    changed = any(value is not None for value in options.values()) or overrides
    return planned(raw, f'{origin} with the options given' if changed else origin, (remark,) if remark else ())


def _nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and a value as {a: {b: value}}."""

    for part in reversed(key.split('.')):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested
