"""The text of an output, percentages, and means with their intervals."""
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from lth.analysis.statistics import Interval

VERSION = 1
# Far below the resolution of an accuracy on ten million images, far above the rounding error of the product.
_DIGITS = 10


def as_dict(output: 'DataclassInstance') -> dict[str, Any]:
    """The output in plain types, with the version of all outputs as its first entry. Paths become strings."""

    return {'version': VERSION, **_plain(output)}


def encode(output: 'DataclassInstance') -> str:
    """The output as JSON."""

    return json.dumps(as_dict(output), indent=2)


def percent(share: float) -> float:
    """A share in percent: 56 for 0.56, not 56.00000000000001."""

    return round(100 * share, _DIGITS)


def percent_or_none(share: float | None) -> float | None:
    """A share in percent, None for None."""

    return None if share is None else percent(share)


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over n values; `margin` is half the width of its 95% confidence interval, None for a single value."""

    mean: float
    margin: float | None
    n: int

    @classmethod
    def of(cls, interval: 'Interval') -> Self:
        """The mean of values that are not shares."""

        return cls(mean=interval.mean, margin=interval.margin, n=interval.n)

    @classmethod
    def of_shares(cls, interval: 'Interval') -> Self:
        """The mean of shares, in percent."""

        return cls(mean=percent(interval.mean), margin=percent_or_none(interval.margin), n=interval.n)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    return str(value) if isinstance(value, Path) else value
