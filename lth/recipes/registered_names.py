"""Settings that are names in a registry: `Annotated[str, RegisteredName(CRITERIA)]`."""
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from lth.registry.registry import BaseRegistry
from lth.system.yaml_text import Raw


@dataclass(frozen=True)
class RegisteredName:
    """Pydantic replaces the name by its registered spelling, and lists all names in the JSON schema."""

    registry: BaseRegistry[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Called by pydantic for the type that is annotated, str."""

        return core_schema.no_info_after_validator_function(self.registry.recorded, handler(source))

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> Raw:
        """Called by pydantic for the JSON schema."""

        return name_schema(self.registry)


def name_schema(registry: BaseRegistry[Any], *further: str) -> Raw:
    """The JSON schema of a name in a registry, or of one of `further` words. A registry also takes names of other code
    if it has external names, which contain a colon.
    """

    listed: Raw = {'enum': [*registry.spellings(), *further]}
    return {'anyOf': [listed, {'type': 'string', 'pattern': ':'}]} if registry.has_external else listed
