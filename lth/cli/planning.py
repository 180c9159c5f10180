"""From what was typed to a plan: the recipe of the pair or of a file, then the options, then `--set`."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth.errors import LthError

if TYPE_CHECKING:
    from lth.plan import Plan


def plan_of(
        model: str, dataset: str, recipe: str | None, options: Mapping[str, Any], overrides: Sequence[str]) -> 'Plan':
    """The plan for a model and a data set; `options` are dotted settings that have a flag, None if not given."""

    # Here and in the commands: torch takes 2 s to import, and `--help` must not wait for it.
    from lth.plan import planned  # pylint: disable=import-outside-toplevel
    from lth.recipe import merged  # pylint: disable=import-outside-toplevel
    raw, origin, remark = _found(model, dataset, recipe)
    given = [_nested(key, value) for key, value in options.items() if value is not None]
    for setting in (*given, *map(_parsed, overrides)):
        raw = merged(raw, setting)
    changed = given or overrides
    return planned(raw, f'{origin} with the options given' if changed else origin, (remark,) if remark else ())


def _found(model: str, dataset: str, recipe: str | None) -> tuple[dict[str, Any], str, str | None]:
    """The recipe of the pair or of a file, where it was found, and a remark; it names both, and no others."""

    from lth import recipes  # pylint: disable=import-outside-toplevel # as above
    from lth.datasets import DATASETS  # pylint: disable=import-outside-toplevel # as above
    from lth.models import MODELS  # pylint: disable=import-outside-toplevel # as above
    from lth.recipe import merged  # pylint: disable=import-outside-toplevel # as above
    model, dataset = MODELS.canonical(model), DATASETS.canonical(dataset)
    raw, origin, remark = recipes.default(model, dataset) if recipe is None else (*recipes.find(recipe), None)
    for section, name, registry in (('model', model, MODELS), ('data', dataset, DATASETS)):
        asked = raw.get(section) or {}
        if isinstance(asked, dict) and 'name' in asked and registry.canonical(str(asked['name'])) != name:
            raise LthError(f'{origin}: {section}: this recipe is for {asked["name"]!r}, but {name!r} was asked for.')
        raw = merged(raw, {section: {'name': name}})
    return raw, origin, remark


def _parsed(override: str) -> dict[str, Any]:
    """`a.b=value` of --set as {a: {b: value}}."""

    from lth import files  # pylint: disable=import-outside-toplevel # as above
    key, equals, value = override.partition('=')
    if not equals or not key.strip():
        raise LthError(f'--set {override}: write it as key=value, such as --set training.batch_size=128.')
    return _nested(key.strip(), files.parsed_yaml(value, f'--set {override}'))


def _nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and a value as {a: {b: value}}."""

    for part in reversed(key.split('.')):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested
