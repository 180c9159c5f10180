"""A section of a recipe: settings that are validated strictly and cannot be changed."""
from typing import TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict

from lth.errors import LthError
from lth.recipes import validation_errors
from lth.system.yaml_text import Raw

S = TypeVar('S', bound='Section')


class Section(BaseModel):
    """A group of settings. Unknown keys and wrong types are errors; a section cannot be changed."""

    model_config = ConfigDict(extra='forbid', strict=True, frozen=True, allow_inf_nan=False)


def validate_section(section: type[S], raw: Raw, origin: str) -> S:
    """The section. LthError with a line for each wrong setting, which starts with `origin`."""

    try:
        return section.model_validate(raw)
    except pydantic.ValidationError as error:
        raise LthError(validation_errors.explain(section, raw, origin, error.errors())) from None
