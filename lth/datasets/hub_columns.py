"""Which columns of a table of the package `datasets` hold images and labels, and which rows a split such as
train[:80%] has.
"""
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lth.errors import LthError, quote
from lth.system import lazy_import

hub = lazy_import.module('datasets')

_INTEGERS = re.compile(r'u?int\d+')


class Columns(NamedTuple):
    """The columns of images and labels, and the number of classes, 0 if the table does not declare it."""

    image: str
    label: str
    classes: int

    @property
    def names(self) -> tuple[str, str]:
        """The names of both columns."""

        return self.image, self.label


def find(name: str, features: Mapping[str, Any], options: Mapping[str, str]) -> Columns:
    """The columns that the options `image` and `label` name, or else the only ones. LthError if there is none, or if it
    is unclear which is meant.
    """

    images = [column for column, feature in features.items() if isinstance(feature, hub.Image)]
    classes = [column for column, feature in features.items() if isinstance(feature, hub.ClassLabel)]
    numbers = [column for column, feature in features.items() if _is_integer(feature)]
    image = _choose(name, 'image', images, features, options)
    label = _choose(name, 'label', classes or numbers, features, options, accepted=[*classes, *numbers])
    return Columns(image, label, features[label].num_classes if label in classes else 0)


def slice_of(name: str, text: str, count: int) -> range:
    """The rows of a slice such as `:80%]` or `100:200]` of `count` rows."""

    match = re.fullmatch(r'(\d*)(%?):(\d*)(%?)\]', text)
    if not match:
        raise LthError(f'{name}: {quote("[" + text)} is not a slice of a split. Write SPLIT[FROM:TO], in rows or in '
                       'percent, such as train[:80%].')
    first, first_unit, last, last_unit = match.groups()
    start = _row(first, first_unit, count) if first else 0
    return range(count)[start:_row(last, last_unit, count) if last else count]


def undecoded(rows: Any, column: str) -> Any:
    """The rows with their images as the bytes or paths of files."""

    return rows.select_columns([column]).cast_column(column, hub.Image(decode=False))


def _choose(  # pylint: disable=too-many-arguments # what is chosen, from what, and by which options
        name: str, kind: str, candidates: Sequence[str], features: Mapping[str, Any], options: Mapping[str, str], *,
        accepted: Sequence[str] | None = None) -> str:
    kinds = ', '.join(f'{column} ({_describe(feature)})' for column, feature in features.items())
    if kind in options:
        if options[kind] not in (candidates if accepted is None else accepted):
            raise LthError(f'{name}: {quote(options[kind])} is not a column of {_expected(kind)}; the columns are '
                           f'{kinds}.')
        return options[kind]
    if len(candidates) != 1:
        problem = f'{len(candidates)} columns' if candidates else 'no column'
        advice = f' Choose one with the option {kind}=COLUMN.' if candidates else ''
        raise LthError(f'{name} has {problem} of {_expected(kind)}; the columns are {kinds}.{advice}')
    return candidates[0]


def _expected(kind: str) -> str:
    return 'images' if kind == 'image' else 'labels that are one integer for each image'


def _is_integer(feature: Any) -> bool:
    return isinstance(feature, hub.Value) and _INTEGERS.fullmatch(feature.dtype) is not None


def _describe(feature: Any) -> str:
    return str(feature.dtype) if isinstance(feature, hub.Value) else type(feature).__name__


def _row(text: str, unit: str, count: int) -> int:
    return round(count * int(text) / 100) if unit else int(text)
