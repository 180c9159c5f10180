"""A length of training in epochs or iterations, written as `50 epochs` or `500 iterations`."""
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

_MOST_DIGITS = 9


@dataclass(frozen=True)
class Duration:
    """A number of epochs or iterations."""

    amount: int
    unit: Literal['epochs', 'iterations']

    def steps(self, steps_per_epoch: int) -> int:
        """The length in optimizer steps."""

        return self.amount * (steps_per_epoch if self.unit == 'epochs' else 1)

    def __str__(self) -> str:
        return f'{self.amount} {self.unit[:-1] if self.amount == 1 else self.unit}'


def _parse(value: Any) -> Duration:
    if isinstance(value, Duration):
        return value
    match = re.fullmatch(r'\s*(-?)(\d+)\s*(epoch|iteration)s?\s*', value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("it should be a length such as '50 epochs' or '500 iterations'")
    sign, digits, unit = match.groups()
    if sign:
        raise ValueError('it should be at least 1 epoch or iteration, or 0 for the start of training')
    if len(digits) > _MOST_DIGITS:
        raise ValueError('it should be at most 999,999,999 epochs or iterations')
    return Duration(int(digits), 'epochs' if unit == 'epoch' else 'iterations')


# What editors show and check; only _parse knows the reasons.
_Text = Annotated[str, Field(pattern=rf'^\s*\d{{1,{_MOST_DIGITS}}}\s*(epoch|iteration)s?\s*$',
                             examples=['50 epochs', '500 iterations'])]
DurationSetting = Annotated[
    Duration, BeforeValidator(_parse, json_schema_input_type=_Text), PlainSerializer(str, return_type=str)]
