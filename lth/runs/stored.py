"""What lth reads back from files of a run: pydantic models with strict types, finite numbers and bounded fields."""
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from lth.errors import LthError, quote

S = TypeVar('S', bound='Stored')
# Bounds that no run reaches: they keep arithmetic exact and tables readable.
Count = Annotated[int, Field(ge=0, le=10 ** 12)]
Share = Annotated[float, Field(ge=0, le=1)]
ShortText = Annotated[str, Field(max_length=4096)]


class Stored(BaseModel):
    """An entry of a file that lth wrote. Unknown keys and wrong types are errors; it cannot be changed."""

    model_config = ConfigDict(extra='forbid', strict=True, frozen=True, allow_inf_nan=False)


def validate_stored(model: type[S], raw: Any, origin: str, advice: str) -> S:
    """The entry. LthError, which starts with `origin` and ends with the advice, names the first wrong field."""

    try:
        return model.model_validate(raw)
    except pydantic.ValidationError as error:
        raise LthError(f'{origin} is damaged or was not written by lth: {_problem(error.errors()[0])}. {advice}'
                       ) from None


def _problem(error: Any) -> str:
    """One of pydantic's errors in words: the path of the field, what is wrong, the value."""

    path = '.'.join(map(str, error['loc']))
    match error['type']:
        case 'missing':
            return f'the field {quote(path)} is missing'
        case 'extra_forbidden':
            return f'the field {quote(path)} is unknown'
    text = error['msg'].removeprefix('Value error, ').replace('Input', 'it', 1)
    start = f'{path}: ' if path else ''
    return f'{start}{text[0].lower()}{text[1:]}, but it is {quote(error["input"])}'
