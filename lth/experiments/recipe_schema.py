"""The JSON schema of recipe files, by which editors complete and check them: the registries and the settings classes of
models and algorithms, as pydantic describes them.

A file needs only the settings that differ from its base, so no key is required and none has a default. The sections
`model` and `algorithm` are checked as their `name` says; without a name, their keys are those of any entry of lth. What
the schema cannot express, such as settings that exclude each other, is checked when the file is used.
"""
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from lth.algorithms import ALGORITHMS
from lth.datasets import DATASETS
from lth.models.registry import MODELS, settings_class
from lth.recipes import presets
from lth.recipes.registered_names import name_schema
from lth.recipes.schema import DataSettings, ModelSettings, Recipe, Section
from lth.registry.registry import BaseRegistry
from lth.system.yaml_text import Raw

_REFERENCE = '#/$defs/{model}'


class _Variant(NamedTuple):
    """The schema of a section that has one of these names."""

    names: Sequence[str]
    schema: Raw


class _Generator(GenerateJsonSchema):
    """Settings without titles, defaults and required keys. A union by name is a chain of conditions, so that its errors
    are about the variant that is named.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema['schema'])

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        return _by_name([_Variant([str(tag)], self.generate_inner(choice))
                         for tag, choice in schema['choices'].items()])


def recipe_schema() -> Raw:
    """A JSON schema, draft 2020-12, of the files that `--recipe` takes, with the names of installed plug-ins."""

    models = {name: settings_class(name) for name in MODELS.names()}
    algorithms = {name: ALGORITHMS.find(name).settings for name in ALGORITHMS.names()}
    defined, keys = _definitions([Recipe, ModelSettings, DataSettings, *models.values(), *algorithms.values()])
    top = defined[keys[Recipe]]
    defined[keys[DataSettings]]['properties']['name'] |= name_schema(DATASETS)
    sections = {
        'model': _section(MODELS, defined, {name: keys[section] for name, section in models.items()}),
        'algorithm': _section(ALGORITHMS, defined, {name: keys[section] for name, section in algorithms.items()})}
    own_model = defined[keys[ModelSettings]] | {'additionalProperties': True}  # arguments of the user's function
    sections['model']['allOf'].append({'if': _named({'pattern': ':'}), 'then': own_model})
    base = {'enum': presets.names(), 'description': 'The recipe that supplies all settings that the file leaves out.'}
    schema = {
        '$schema': 'https://json-schema.org/draft/2020-12/schema', 'title': 'A recipe of lth',
        'description': top['description'], 'type': 'object', 'additionalProperties': False,
        'properties': {'base': base, **top['properties'], **sections}}
    return schema | {'$defs': _used(defined, schema)}


def _definitions(sections: Iterable[type[Section]]) -> tuple[dict[str, Raw], dict[type[Section], str]]:
    """The schemas of classes and of all that they refer to, by their keys in `$defs`, and the key of each class."""

    references, definitions = models_json_schema(
        [(section, 'validation') for section in dict.fromkeys(sections)], schema_generator=_Generator,
        ref_template=_REFERENCE)
    for definition in definitions['$defs'].values():
        definition.pop('title', None)  # the name of the class
    keys = {section: reference['$ref'].rpartition('/')[2] for (section, _), reference in references.items()}
    return definitions['$defs'], keys  # type: ignore[return-value] # all are sections


def _section(registry: BaseRegistry[Any], defined: dict[str, Raw], keys: Mapping[str, str]) -> Raw:
    """A section with the name of an entry; `keys` say where the settings of each entry are defined. Entries that have
    the same settings share a definition.
    """

    groups: dict[str, list[str]] = {}
    for name, key in keys.items():
        # The section checks the name, which may be an alias.
        settings = {**defined[key], 'properties': {**defined[key]['properties'], 'name': True}}
        groups.setdefault(json.dumps(settings), []).extend([name, *registry.aliases(name)])
    variants = []
    for text, names in groups.items():
        shared = f'{registry.kind}-{names[0]}'
        defined[shared] = json.loads(text)
        variants.append(_Variant(names, {'$ref': _REFERENCE.format(model=shared)}))
    section = _by_name(variants)
    section['properties']['name'] = {'description': f'A name of `lth list {registry.kind}s`.', **name_schema(registry)}
    return {'description': f'The {registry.kind} and its settings.', **section}


def _by_name(variants: Sequence[_Variant]) -> Raw:
    """A section whose `name` decides which of the schemas it has; without a name, it has one of them."""

    names = [name for variant in variants for name in variant.names]
    chain: list[Raw] = [
        {'if': _named({'enum': list(variant.names)}), 'then': variant.schema} for variant in variants]
    unnamed = {'if': {'not': {'required': ['name']}}, 'then': {'anyOf': [variant.schema for variant in variants]}}
    return {'type': 'object', 'properties': {'name': {'enum': names}}, 'allOf': [*chain, unnamed]}


def _named(name: Raw) -> Raw:
    """The condition that a value is a section whose name has this schema."""

    return {'type': 'object', 'properties': {'name': name}, 'required': ['name']}


def _used(defined: Mapping[str, Raw], schema: Raw) -> dict[str, Raw]:
    """The definitions that a schema refers to, directly or not."""

    used: dict[str, Raw] = {}
    for key in sorted(defined):
        if key not in used and json.dumps(_REFERENCE.format(model=key)) in json.dumps(schema):
            used |= {key: defined[key], **_used(defined, defined[key])}
    return used
